"""One prompt at several strengths: what the model writes, what it makes of the target, where the feature is active.

The edit acts at the prompt's last token, where the answer is decided, and nowhere else: what the model writes after a
follow-up question it writes because of the answer that it gave, or because of that one token.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sae.token_text import token_texts
from steering.directions import Feature
from steering.interventions import SteeringSpec
from steering.positions import PromptTokens
from steering.results import AppliedEdit, SteeredRow
from steering.side_effects import divergence
from steering.steered_host import SteeredHost

__all__ = ["ShownText", "ShownToken", "show_case"]

ANSWER = "answer"
"""Name of the span that is the prompt's last token, also where text follows it."""


Piece = tuple[Int[Tensor, " _"], bool]
"""Tokens of a text, and whether they were given to the model."""


@dataclass(frozen=True)
class ShownToken:
    """A token of a shown text.

    Attributes:
        text: What it adds to the text, fit to be shown.
        is_given: Whether it was given to the model, which wrote the others.
        activation: Of the feature, on the stream that the model goes on with; raw, 0 or more.
    """

    text: str
    is_given: bool
    activation: float

    def to_json(self) -> dict[str, Any]:
        """The fields by name."""
        return {"text": self.text, "is_given": self.is_given, "activation": self.activation}


@dataclass(frozen=True, eq=False)
class ShownText:
    """The case at one strength.

    Attributes:
        edit: What the intervention came to.
        tokens: The prompt, BOS left out, and what follows.
        target_probability: Of the target as the next text, 0 to 1.
        answer_probability: Of the unsteered model's likeliest next token, 0 to 1.
        kl: KL(steered || plain) of the next token, nats.
    """

    edit: AppliedEdit
    tokens: tuple[ShownToken, ...]
    target_probability: float
    answer_probability: float
    kl: float

    @property
    def written(self) -> str:
        """What the model wrote, pieces that were given between left out."""
        return "".join(token.text for token in self.tokens if not token.is_given).strip()

    def to_json(self) -> dict[str, Any]:
        """The fields by name, those of the edit among them."""
        return {
            **self.edit.to_json(),
            "target_probability": self.target_probability,
            "answer_probability": self.answer_probability,
            "kl": self.kl,
            "tokens": [token.to_json() for token in self.tokens],
        }


def show_case(
    steered: SteeredHost,
    prompt: PromptTokens,
    specs: Sequence[SteeringSpec],
    *,
    target_ids: Int[Tensor, " target"],
    follow_up: str = "",
    max_new_tokens: int = 24,
) -> list[ShownText]:
    """Continue a prompt at every strength, in one batch.

    Args:
        steered: The model.
        prompt: The case.
        specs: One intervention on a feature each, the first of strength 0; all act at the prompt's last token.
        target_ids: The target's tokens.
        follow_up: Text put after an answer that the model has ended, to be continued too.
        max_new_tokens: Most tokens to add, twice if there is a follow-up.

    Raises:
        ValueError: A spec cannot be carried out, or the text does not fit into the context.
    """
    case = replace(prompt, spans={**prompt.spans, ANSWER: (len(prompt.ids) - 1,)})
    at_answer = [_at_answer(spec) for spec in specs]
    rows = steered.generate([case] * len(specs), at_answer, max_new_tokens=max_new_tokens)
    pieces = [[(prompt.ids, True), (row.new_ids, False)] for row in rows]
    if follow_up:
        _follow(steered, case, at_answer, rows, pieces, follow_up, max_new_tokens)
    tokens = _shown_tokens(steered, case, at_answer, pieces)
    targets, answers, divergences = _next_text(steered, case, at_answer, target_ids)
    edits = [row.steered.edits[0] for row in rows]
    named = [replace(edit, intervention=spec.interventions[0]) for edit, spec in zip(edits, specs, strict=True)]
    return [ShownText(*each) for each in zip(named, tokens, targets, answers, divergences, strict=True)]


def _at_answer(spec: SteeringSpec) -> SteeringSpec:
    return SteeringSpec(tuple(replace(each, positions=f"span:{ANSWER}") for each in spec.interventions))


def _follow(
    steered: SteeredHost,
    case: PromptTokens,
    specs: Sequence[SteeringSpec],
    rows: Sequence[SteeredRow],
    pieces: list[list[Piece]],
    follow_up: str,
    max_new_tokens: int,
) -> None:
    """Put the follow-up and its continuation behind every text that the model has ended."""
    ended = [index for index, row in enumerate(rows) if row.has_ended]
    if not ended:
        return
    asked = torch.tensor(steered.host.tokenizer(follow_up, add_special_tokens=False)["input_ids"])
    for index in ended:
        pieces[index][-1] = (rows[index].new_ids[:-1], False)
    prompts = [replace(case, ids=torch.cat([*(ids for ids, _ in pieces[index]), asked])) for index in ended]
    followed = steered.generate(prompts, [specs[index] for index in ended], max_new_tokens=max_new_tokens)
    for index, row in zip(ended, followed, strict=True):
        pieces[index] += [(asked, True), (row.new_ids, False)]


def _shown_tokens(
    steered: SteeredHost,
    case: PromptTokens,
    specs: Sequence[SteeringSpec],
    pieces: Sequence[Sequence[Piece]],
) -> list[tuple[ShownToken, ...]]:
    """Every text token by token, special tokens left out."""
    texts = [torch.cat([ids for ids, _ in parts]) for parts in pieces]
    given = [[is_given for ids, is_given in parts for _ in ids] for parts in pieces]
    activations = _activations(steered, case, specs, [ids[len(case.ids) :] for ids in texts])
    special = set(steered.host.tokenizer.all_special_ids)
    readable = token_texts(steered.host.tokenizer, torch.cat(texts).tolist())
    return [
        tuple(
            ShownToken(readable[token], is_given, activation)
            for token, is_given, activation in zip(ids.tolist(), is_given_row, acts, strict=True)
            if token not in special
        )
        for ids, is_given_row, acts in zip(texts, given, activations, strict=True)
    ]


def _activations(
    steered: SteeredHost,
    case: PromptTokens,
    specs: Sequence[SteeringSpec],
    continuations: Sequence[Int[Tensor, " _"]],
) -> list[list[float]]:
    """Of the feature at every token of every row, as its dictionary reads the steered stream."""
    feature = specs[0].interventions[0].target
    assert isinstance(feature, Feature)
    sae = steered.dictionaries.sae(feature.site)
    site = sae.input_site or feature.site
    run = steered.forward([case] * len(specs), specs, continuations, logits_to_keep=1, capture=[site])
    acts = sae.encode_features(run.activations[site], torch.tensor([feature.index], device=steered.host.device))
    lengths = [len(case.ids) + len(new) for new in continuations]
    return [row[-length:, 0].tolist() for row, length in zip(acts.cpu(), lengths, strict=True)]


def _next_text(
    steered: SteeredHost, case: PromptTokens, specs: Sequence[SteeringSpec], target_ids: Int[Tensor, " target"]
) -> tuple[list[float], list[float], list[float]]:
    """Probability of the target, that of the first row's likeliest token, and KL(row || first row), row by row."""
    n_rows, n_target = len(specs), len(target_ids)
    logits = steered.forward([case] * n_rows, specs, [target_ids] * n_rows, logits_to_keep=n_target + 1).logits
    log_probs = logits.double().log_softmax(-1).cpu()
    chosen: Float[Tensor, "rows target"] = log_probs[:, torch.arange(n_target), target_ids]
    next_token = log_probs[:, 0]
    answer = int(next_token[0].argmax())
    kl = divergence(logits[:, 0], logits[:1, 0].expand_as(logits[:, 0]))
    return chosen.sum(-1).exp().tolist(), next_token[:, answer].exp().tolist(), kl.tolist()
