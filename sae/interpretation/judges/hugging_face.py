"""A judge on this machine: a causal language model that says how likely each answer is; nothing is sampled.

The log-probability of an answer is that of all its spellings together (`yes`, `Yes`, with and without a space before).
It follows from next-token log-probabilities after the prompt and, where a spelling has several tokens, after the prompt
and the beginning of the spelling; only the last position of each such row is unembedded.
"""

import math
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from sae.dictionary.host_record import fingerprint
from sae.host.host import HostModel
from sae.host.prompts import conversation_text, prompt_ids, templated_ids
from sae.interpretation.judges.cache import AnswerCache
from sae.interpretation.judges.request import JudgeRequest, JudgeResult, Message
from sae.progress import progress_counter

__all__ = ["HuggingFaceJudge", "spellings"]

Ids = tuple[int, ...]
ANSWERS = {"yes", "no"}


class HuggingFaceJudge:
    """Asks a model of a supported family, several questions a pass, and takes the likelier answer.

    Args:
        host: The model.
        cache: What was answered before by the same weights, and where new answers go; None to keep nothing.
        batch: Questions a pass.

    Attributes:
        name: `hf:` and the model's name; of a directory its last part, wherever it lies.
        model: The same and a fingerprint of the weights, so that answers of others are not taken for theirs.
    """

    def __init__(self, host: HostModel, cache: AnswerCache | None = None, *, batch: int = 8) -> None:
        weights = fingerprint(host.path) if host.path is not None else None
        directory = Path(host.name).expanduser()
        self.name = f"hf:{directory.resolve().name if directory.is_dir() else host.name}"
        self.model = self.name if weights is None else f"{self.name}@{weights[:12]}"
        self._host = host
        self._cache = cache
        self._batch = batch

    def known(self, request: JudgeRequest) -> bool:
        """Whether it is answered already."""
        return self._cache is not None and self._cache.get(self.model, request) is not None

    def complete(self, requests: Sequence[JudgeRequest]) -> Iterator[JudgeResult]:
        """One result a request, in their order; an error where the question does not fit into the context.

        Raises:
            ValueError: The tokenizer does not know an answer.
        """
        by_key = {request.key(self.model): request for request in requests}
        results = {}
        if self._cache is not None:
            found = {key: self._cache.get(self.model, request) for key, request in by_key.items()}
            results = {key: result for key, result in found.items() if result is not None}
        prompts = {key: self._prompt(by_key[key]) for key in by_key if key not in results}
        waiting = sorted(prompts, key=lambda key: len(prompts[key]))  # rows of one pass are of similar length
        with progress_counter(len(by_key), "judging", unit="request", done=len(results)) as bar:
            for start in range(0, len(waiting), self._batch):
                keys = waiting[start : start + self._batch]
                answers = self._answer([by_key[key] for key in keys], [prompts[key] for key in keys])
                for key, answer in zip(keys, answers, strict=True):
                    results[key] = answer
                    if self._cache is not None and answer.error is None:
                        self._cache.put(self.model, by_key[key], answer)
                bar.update(len(keys))
        return iter([results[request.key(self.model)] for request in requests])

    def _prompt(self, request: JudgeRequest) -> list[int]:
        """The conversation in the model's own template, or as plain text where it has none."""
        tokenizer, turns = self._host.tokenizer, _turns(request.messages)
        if tokenizer.chat_template:
            said = [{"role": role, "content": text} for role, text in turns]
            return templated_ids(tokenizer, conversation_text(tokenizer, said, enable_thinking=False))
        return prompt_ids(tokenizer, "\n\n".join(text for _, text in turns) + "\nAnswer:")

    def _answer(self, requests: Sequence[JudgeRequest], prompts: Sequence[list[int]]) -> list[JudgeResult]:
        """One pass over the prompts, each with every beginning of a spelling that must be looked behind."""
        start = time.perf_counter()
        told = [spellings(self._host.tokenizer, request.choices) for request in requests]
        fits = [
            len(prompt) + max(len(each) for group in spelt.values() for each in group) - 1 <= self._host.context_length
            for prompt, spelt in zip(prompts, told, strict=True)
        ]
        rows = [
            (place, beginning)
            for place, spelt in enumerate(told)
            if fits[place]
            for beginning in sorted({each[:n] for group in spelt.values() for each in group for n in range(len(each))})
        ]
        after = self._log_probs([[*prompts[place], *beginning] for place, beginning in rows]) if rows else []
        known = dict(zip(rows, after, strict=True))
        seconds = (time.perf_counter() - start) / len(requests)
        return [
            _result({choice: _total(known, place, group) for choice, group in told[place].items()}, prompt, seconds)
            if fits[place]
            else JudgeResult(
                error=f"the question has {len(prompt)} tokens, more than the {self._host.context_length} of the judge"
            )
            for place, prompt in enumerate(prompts)
        ]

    def _log_probs(self, rows: Sequence[list[int]]) -> list[Float[Tensor, " vocab"]]:
        """Of the token after each row, in float32; as many rows a pass as questions are."""
        found: list[Tensor] = []
        for start in range(0, len(rows), self._batch):
            batch = self._host.batch([torch.tensor(row) for row in rows[start : start + self._batch]])
            logits = self._host.forward(batch, logits_to_keep=1).logits[:, -1].float()
            found.extend(logits.log_softmax(-1).cpu())
        return found


def spellings(tokenizer: Any, choices: Sequence[str]) -> dict[str, list[Ids]]:
    """The tokens that each choice may be written with; none of them unknown.

    Raises:
        ValueError: The tokenizer does not know a choice.
    """
    found: dict[str, list[Ids]] = {}
    for choice in choices:
        written = [space + word for space in ("", " ") for word in (choice, choice.capitalize())]
        encoded = {tuple(tokenizer(each, add_special_tokens=False)["input_ids"]) for each in written}
        found[choice] = sorted(each for each in encoded if each and tokenizer.unk_token_id not in each)
        if not found[choice]:
            raise ValueError(
                f"the judge's tokenizer does not know the answer {choice!r}, expected one that can write "
                f"{', '.join(choices)}; take another model as judge"
            )
    return found


def _turns(messages: Sequence[Message]) -> list[tuple[str, str]]:
    """Role and text; a system message goes before the first of the user, since not every template knows the role."""
    system = [each.content for each in messages if each.role == "system"]
    turns = [(each.role, each.content) for each in messages if each.role != "system"]
    role, text = turns[0]
    return [(role, "\n\n".join([*system, text])), *turns[1:]]


def _total(known: dict[tuple[int, Ids], Tensor], place: int, group: Sequence[Ids]) -> float:
    """Log-probability of all spellings together."""
    each = [sum(float(known[place, ids[:n]][token]) for n, token in enumerate(ids)) for ids in group]
    return float(torch.logsumexp(torch.tensor(each, dtype=torch.float64), 0))


def _result(log_probs: dict[str, float], prompt: Sequence[int], seconds: float) -> JudgeResult:
    if not all(math.isfinite(each) for each in log_probs.values()):
        return JudgeResult(error="the model gives an answer no finite probability")
    is_yes_or_no = log_probs.keys() == ANSWERS
    return JudgeResult(
        text=max(log_probs, key=lambda choice: log_probs[choice]),
        yes_logit=log_probs["yes"] - log_probs["no"] if is_yes_or_no else None,
        finish_reason="stop",
        usage={"prompt_tokens": len(prompt)},
        latency_s=round(seconds, 4),
    )
