"""From what a judge says to one of the answers that are understood; never a default."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from sae.interpretation.judges.request import JudgeBackend, JudgeRequest, JudgeResult, Message

__all__ = ["Verdict", "ask", "chosen"]

THINKING = re.compile(r"<think>.*?</think>", re.DOTALL)


@dataclass(frozen=True)
class Verdict:
    """What came of one question.

    Attributes:
        choice: The answer; None where there is none.
        yes_logit: As in `JudgeResult`.
        error: Why there is none.
        results: All that the judge said: the first answer and, where that was not understood, the second.
        requests: What it was asked for them.
    """

    choice: str | None
    yes_logit: float | None
    error: str | None
    results: tuple[JudgeResult, ...]
    requests: tuple[JudgeRequest, ...]


def ask(judge: JudgeBackend, requests: Iterable[JudgeRequest]) -> list[Verdict]:
    """Ask all questions; those whose answers are not understood are asked once more."""
    requests = list(requests)
    verdicts = [
        _verdict((request,), (result,)) for request, result in zip(requests, judge.complete(requests), strict=True)
    ]
    unclear = [place for place, each in enumerate(verdicts) if each.choice is None and each.results[0].error is None]
    again = [_repair(requests[place], verdicts[place].results[0]) for place in unclear]
    for place, request, result in zip(unclear, again, judge.complete(again), strict=True):
        verdicts[place] = _verdict((requests[place], request), (verdicts[place].results[0], result))
    return verdicts


def chosen(text: str, choices: Sequence[str]) -> str | None:
    """The one choice that a text names.

    If it names several, the one that it begins with; None if it names none or is undecided.

    >>> chosen("Yes.", ("yes", "no"))
    'yes'
    >>> chosen("None", ("yes", "no"))
    """
    words = re.findall(r"\w+", THINKING.sub("", text).casefold())
    named = [choice for choice in choices if choice.casefold() in words]
    if len(named) == 1:
        return named[0]
    return next((choice for choice in named if words[0] == choice.casefold()), None)


def _verdict(requests: tuple[JudgeRequest, ...], results: tuple[JudgeResult, ...]) -> Verdict:
    last = results[-1]
    choice = None if last.error else chosen(_answer(last), requests[-1].choices)
    unclear = f"answered {last.text[:60]!r}, expected one of {', '.join(requests[-1].choices)}"
    error = last.error or (unclear if choice is None else None)
    return Verdict(choice, None if choice is None else last.yes_logit, error, results, requests)


def _answer(result: JudgeResult) -> str:
    """The text, or of JSON with one field that field."""
    if isinstance(result.parsed, dict) and len(result.parsed) == 1:
        return str(next(iter(result.parsed.values())))
    return result.text


def _repair(request: JudgeRequest, result: JudgeResult) -> JudgeRequest:
    wanted = f"Answer with exactly one of these words and nothing else: {', '.join(request.choices)}."
    turns = (Message("assistant", result.text or "(nothing)"), Message("user", wanted))
    return replace(request, messages=(*request.messages, *turns))
