"""Whether steered text is still text: its perplexity under the plain model, how much it repeats, whether it breaks off.

Everything is of the continuation alone. The plain model sees the prompt, whose tokens are not counted, and neither is
the first of the continuation, where steering acts on an answer: that the plain model would not have said that is the
effect, and no flaw of the text.
"""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float64, Int
from torch import Tensor

from sae.host.host import HostModel

__all__ = ["breaks_off", "continuation_losses", "distinct_bigrams", "perplexity", "repetition"]

BATCH_ROWS = 64
REPEATED = 4
"""Tokens of the pieces that count as repeated."""


def continuation_losses(
    host: HostModel, prompts: Sequence[Int[Tensor, " _"]], continuations: Sequence[Int[Tensor, " _"]]
) -> list[Float64[Tensor, " counted"]]:
    """Cross-entropy of each token of some continuations but the first under the plain model, in nats.

    Args:
        host: The model, unsteered.
        prompts: Tokens before each, as the model is fed them, at least one.
        continuations: Tokens.

    Returns:
        One row a continuation; empty where it has no second token.
    """
    rows = [torch.cat([prompt, new.to(prompt)]) for prompt, new in zip(prompts, continuations, strict=True)]
    losses: list[Tensor] = [torch.zeros(0, dtype=torch.float64)] * len(rows)
    counted = [index for index, new in enumerate(continuations) if len(new) > 1]
    counted.sort(key=lambda index: len(rows[index]))
    for begin in range(0, len(counted), BATCH_ROWS):
        chosen = counted[begin : begin + BATCH_ROWS]
        logits = host.forward(host.batch([rows[index] for index in chosen])).logits
        for logits_of_row, index in zip(logits, chosen, strict=True):
            following = continuations[index][1:, None].to(logits.device)
            predicting = logits_of_row[-len(following) - 1 : -1].double().log_softmax(-1)
            losses[index] = -predicting.gather(1, following)[:, 0].cpu()
    return losses


def perplexity(losses: Sequence[Float64[Tensor, " _"]]) -> float:
    """exp of the mean cross-entropy over all tokens of some texts; NaN where there are none."""
    together = torch.cat([torch.zeros(0, dtype=torch.float64), *losses])
    return math.exp(float(together.mean())) if len(together) else math.nan


def repetition(ids: Int[Tensor, " _"]) -> float:
    """Share of a text's pieces of four tokens that stand in it more than once; NaN where it has no such piece.

    0 where no piece comes again, 1 for one token over and over.
    """
    pieces = _pieces(ids, REPEATED)
    repeated = sum(count for count in pieces.values() if count > 1)
    return repeated / sum(pieces.values()) if pieces else math.nan


def distinct_bigrams(ids: Int[Tensor, " _"]) -> float:
    """Different pairs of neighbouring tokens, as a share of all pairs, in (0, 1]; NaN where there are none.

    Source: distinct-2 of Li et al. 2016 (arXiv 1510.03055), here of one text.
    """
    pairs = _pieces(ids, 2)
    return len(pairs) / sum(pairs.values()) if pairs else math.nan


def breaks_off(n_tokens: int, n_plain_tokens: int, *, has_ended: bool) -> bool:
    """Whether the model ended a text itself before it had half the length of the plain one."""
    return has_ended and 2 * n_tokens < n_plain_tokens


def _pieces(ids: Int[Tensor, " _"], size: int) -> dict[tuple[int, ...], int]:
    """How often each run of `size` tokens occurs."""
    tokens = ids.tolist()
    counts: dict[tuple[int, ...], int] = {}
    for start in range(len(tokens) - size + 1):
        piece = tuple(tokens[start : start + size])
        counts[piece] = counts.get(piece, 0) + 1
    return counts
