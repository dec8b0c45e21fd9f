"""What is to be explained: a prompt, the answer that the model gives, the answer it could have given, and the metric m.

Lengths and answers are checked here, once. The metric is `m = logit(target) - logit(foil)` at the end of the prompt;
where an answer has several tokens both answers are scored by teacher-forced log-probability instead.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sae.host.prompts import continuation_ids
from sae.host.token_batch import TokenBatch

if TYPE_CHECKING:
    from sae.host.host import HostModel

__all__ = ["Answer", "Behaviour", "describe_behaviour", "wrong_answer"]


@dataclass(frozen=True)
class Answer:
    """A possible continuation of the prompt."""

    text: str
    token_ids: tuple[int, ...]


@dataclass(frozen=True)
class Behaviour:
    """A prompt, its two answers, and optionally a contrast prompt of equal token length."""

    prompt: str
    prompt_ids: Int[Tensor, " seq"]
    tokens: tuple[str, ...]
    """The prompt's tokens as text, one per id."""
    target: Answer
    foil: Answer
    contrast: str | None = None
    contrast_ids: Int[Tensor, " seq"] | None = None

    @property
    def is_teacher_forced(self) -> bool:
        """Whether an answer has several tokens, so that log-probabilities of whole answers are compared."""
        return max(len(self.target.token_ids), len(self.foil.token_ids)) > 1

    @property
    def unit(self) -> str:
        """Unit of the metric."""
        return "log-probability (nats)" if self.is_teacher_forced else "logits"

    @property
    def rows_per_prompt(self) -> int:
        """Rows of a batch that one prompt takes: one, or one for each answer."""
        return 2 if self.is_teacher_forced else 1

    @property
    def kept_logits(self) -> int:
        """How many last positions of the logits the metric reads."""
        return max(len(self.target.token_ids), len(self.foil.token_ids))

    def batch(self, host: "HostModel", prompts: Sequence[Int[Tensor, " seq"]]) -> TokenBatch:
        """Rows for `prompts`, prompt-major; answers that are scored token by token are appended.

        The appended tokens are no nodes. The shorter answer is filled up on the right with its own last token: a later
        token changes no earlier logit.
        """
        if not self.is_teacher_forced:
            return host.batch(prompts)
        batch = host.batch([prompt for prompt in prompts for _ in range(self.rows_per_prompt)])
        tails = torch.tensor([self._tail(self.target), self._tail(self.foil)], device=batch.ids.device)
        tails = tails.repeat(len(prompts), 1)
        return TokenBatch(
            torch.cat([batch.ids, tails], dim=1),
            torch.cat([batch.attention_mask, torch.ones_like(tails, dtype=torch.bool)], dim=1),
            torch.cat([batch.node_mask, torch.zeros_like(tails, dtype=torch.bool)], dim=1),
        )

    def _tail(self, answer: Answer) -> list[int]:
        filled = [*answer.token_ids, *[answer.token_ids[-1]] * self.kept_logits]
        return filled[: self.kept_logits - 1]

    def metric(self, logits: Float[Tensor, "rows kept vocab"]) -> Float[Tensor, " prompts"]:
        """m of every prompt of a batch.

        Args:
            logits: The last `kept_logits` positions of each row.
        """
        if not self.is_teacher_forced:
            last = logits[:, -1].float()
            return last[:, self.target.token_ids[0]] - last[:, self.foil.token_ids[0]]
        log_probs = logits[:, -self.kept_logits :].float().log_softmax(dim=-1)
        return _answer_log_prob(log_probs[0::2], self.target) - _answer_log_prob(log_probs[1::2], self.foil)


def _answer_log_prob(log_probs: Float[Tensor, "prompts kept vocab"], answer: Answer) -> Float[Tensor, " prompts"]:
    steps = torch.arange(len(answer.token_ids), device=log_probs.device)
    ids = torch.tensor(answer.token_ids, device=log_probs.device)
    return log_probs[:, steps, ids].sum(dim=1)


def describe_behaviour(
    host: "HostModel",
    prompt: str,
    *,
    contrast: str | None = None,
    target: str | None = None,
    foil: str | None = None,
    chat: bool = False,
) -> Behaviour:
    """Tokenise a prompt and settle what its answer is compared with.

    Args:
        host: The model.
        prompt: The text whose next token is to be explained.
        contrast: A prompt of equal token length to which the model answers otherwise.
        target: The answer to explain; the model's own by default. A leading space is added where the tokenizer
            wants one.
        foil: The answer it is compared with; by default the contrast's answer, or without a contrast the runner-up.
        chat: Whether the tokenizer's chat template is applied to the prompts.

    Raises:
        ValueError: If a prompt is blank, lengths differ, an answer is empty, or target and foil are equal.
    """
    prompt_ids = host.tokenise(prompt, chat=chat)
    contrast_ids = None if contrast is None else host.tokenise(contrast, chat=chat)
    tokens = _token_texts(host, prompt_ids)
    if contrast_ids is not None:
        _check_contrast(host, prompt_ids, contrast_ids)
    ranked = _ranked_next_tokens(host, prompt_ids)
    chosen = _given_answer(host, prompt, target, "target") if target is not None else _answer_of(host, ranked[0])
    if foil is not None:
        other = _given_answer(host, prompt, foil, "foil")
    elif contrast_ids is not None:
        other = _answer_of(host, _ranked_next_tokens(host, contrast_ids)[0])
    else:
        other = _answer_of(host, next(token for token in ranked if token != chosen.token_ids[0]))
    if chosen.token_ids == other.token_ids:
        origin = (
            "the contrast's answer is the same; choose another contrast or give --foil"
            if foil is None
            else "give another --foil"
        )
        raise ValueError(f"target and foil are both {chosen.text!r}: {origin}")
    return Behaviour(prompt, prompt_ids, tokens, chosen, other, contrast, contrast_ids)


@torch.no_grad()
def wrong_answer(host: "HostModel", behaviour: Behaviour) -> str | None:
    """Why the model does not decide between the answers as a pair says, or None where it does."""
    assert behaviour.contrast_ids is not None
    batch = behaviour.batch(host, [behaviour.prompt_ids, behaviour.contrast_ids])
    clean, patch = behaviour.metric(host.forward(batch, logits_to_keep=behaviour.kept_logits).logits).tolist()
    if clean <= 0:
        return "the model prefers patch_answer after clean_prefix"
    return None if patch < 0 else "the model prefers clean_answer after patch_prefix"


def _ranked_next_tokens(host: "HostModel", ids: Int[Tensor, " seq"]) -> list[int]:
    logits = host.forward(host.batch([ids]), logits_to_keep=1).logits[0, -1]
    return logits.topk(min(2, logits.numel())).indices.tolist()


def _token_texts(host: "HostModel", ids: Int[Tensor, " seq"]) -> tuple[str, ...]:
    return tuple(host.tokenizer.decode([token]) for token in ids.tolist())


def _answer_of(host: "HostModel", token: int) -> Answer:
    return Answer(host.tokenizer.decode([token]), (token,))


def _given_answer(host: "HostModel", prompt: str, text: str, name: str) -> Answer:
    """Tokens of an answer named by the user, as they would follow the prompt."""
    if not text.strip():
        raise ValueError(f"{name} is {text!r}, expected a word or phrase; leave it out to take the model's own answer")
    ids = continuation_ids(host.tokenizer, text, prompt=prompt)
    return Answer(host.tokenizer.decode(ids), tuple(ids))


def _check_contrast(host: "HostModel", prompt_ids: Int[Tensor, " seq"], contrast_ids: Int[Tensor, " other"]) -> None:
    if len(prompt_ids) != len(contrast_ids):
        where = _first_difference(_token_texts(host, prompt_ids), _token_texts(host, contrast_ids))
        raise ValueError(
            f"contrast has {len(contrast_ids)} tokens, expected {len(prompt_ids)} as in the prompt; {where}; "
            "reword it to equal token length"
        )
    if torch.equal(prompt_ids, contrast_ids):
        raise ValueError("contrast is equal to the prompt; expected a prompt that changes the answer")


def _first_difference(clean: Sequence[str], contrast: Sequence[str]) -> str:
    shorter = min(len(clean), len(contrast))
    at = next((i for i in range(shorter) if clean[i] != contrast[i]), shorter)
    here = f"{clean[at]!r}" if at < len(clean) else "its end"
    there = f"{contrast[at]!r}" if at < len(contrast) else "its end"
    return f"they first differ at token {at}: the prompt has {here}, the contrast {there}"
