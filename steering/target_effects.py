"""How far a model is brought to a wanted answer: is it the top one, what are its odds, do texts speak of it."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Float64, Int
from torch import Tensor

__all__ = ["TargetEffects", "lexicon_hits", "target_effects"]


@dataclass(frozen=True, eq=False)
class TargetEffects:
    """Of each prompt; means of these are the rates that are published.

    Attributes:
        is_top: Whether the target is the likeliest answer; the mean over prompts that were answered otherwise is the
            flip rate.
        log_odds: log p / (1 - p) in nats, with p the target's probability.
        logit: Of the target as the model gives it; of several tokens the sum.
    """

    is_top: Bool[Tensor, " prompts"]
    log_odds: Float64[Tensor, " prompts"]
    logit: Float64[Tensor, " prompts"]


def target_effects(
    logits: Float[Tensor, "prompts tokens vocab"], target_ids: Int[Tensor, "prompts tokens"]
) -> TargetEffects:
    """What a run makes of its target, which it was fed token by token (teacher forcing).

    The target is the top answer where each of its tokens is the likeliest after those before it: then it is what greedy
    decoding writes.

    Args:
        logits: Where each token of the target is due.
        target_ids: These tokens.

    Raises:
        ValueError: The target has no token, or one beyond the vocabulary.
    """
    if target_ids.shape[1] == 0:
        raise ValueError("the target has no tokens, expected at least one; give a word")
    if int(target_ids.max()) >= logits.shape[-1]:
        raise ValueError(
            f"the target has the token {int(target_ids.max())}, but the model has {logits.shape[-1]} tokens; "
            "tokenise it with the model's own tokenizer"
        )
    ids = target_ids.to(logits.device)[..., None]
    chosen = logits.double().gather(-1, ids)[..., 0]
    # summed over the others, which is exact where p rounds to 1
    others = logits.double().scatter(-1, ids, -torch.inf).logsumexp(-1)
    log_probability = -(others - chosen).exp().log1p().sum(-1)
    log_odds = chosen[:, 0] - others[:, 0]
    if target_ids.shape[1] > 1:
        log_odds = log_probability - torch.log(-torch.expm1(log_probability))
    is_top = (logits.argmax(-1) == ids[..., 0]).all(-1)
    return TargetEffects(is_top, log_odds, chosen.sum(-1))


def lexicon_hits(texts: Sequence[str], lexicon: Sequence[str]) -> Bool[Tensor, " texts"]:
    """Whether each text has a word or phrase of the lexicon, as whole words, in upper or lower case.

    Raises:
        ValueError: The lexicon holds no word.
    """
    words = [word.strip() for word in lexicon if word.strip()]
    if not words:
        raise ValueError(f"the lexicon {list(lexicon)!r} holds no word, expected one at least")
    pattern = re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, words))})(?!\w)", re.IGNORECASE)
    return torch.tensor([pattern.search(text) is not None for text in texts], dtype=torch.bool)
