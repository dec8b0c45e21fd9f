"""What a judge makes of a question, averaged over the orders in which its alternatives were listed."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sae.interpretation.judges.answers import Verdict
from sae.interpretation.questions import Question

__all__ = ["Judgement", "judged"]


@dataclass(frozen=True)
class Judgement:
    """The answers to one question. All are None where one of its orders has no answer.

    Attributes:
        right: Share of the orders that are answered right.
        yes: Share of the orders that are answered with yes.
        yes_logit: Mean of log P(yes) - log P(no), where the judge tells it in all orders.
        towards_first: Share of the orders in which the alternative that is listed first is taken, less that of the one
            listed last; 0 of a judge that says the same in both orders.
        agrees: Whether both orders have the same answer; None where there is one order.
    """

    right: float | None = None
    yes: float | None = None
    yes_logit: float | None = None
    towards_first: float | None = None
    agrees: bool | None = None


def judged(questions: Iterable[Question], verdicts: Iterable[Verdict]) -> list[Judgement]:
    """A judgement a question, from one verdict for each order of each question."""
    following = iter(verdicts)
    return [_judgement(question, [next(following) for _ in question.orders]) for question in questions]


def _judgement(question: Question, verdicts: Sequence[Verdict]) -> Judgement:
    choices = [each.choice for each in verdicts]
    if None in choices:
        return Judgement()
    listed = [asked.request.choices for asked in question.orders]
    right = [choice == asked.truth for choice, asked in zip(choices, question.orders, strict=True)]
    logits = [each.yes_logit for each in verdicts if each.yes_logit is not None]
    n = len(choices)
    towards = sum((c == order[0]) - (c == order[-1]) for c, order in zip(choices, listed, strict=True))
    return Judgement(
        right=sum(right) / n,
        yes=choices.count("yes") / n,
        yes_logit=sum(logits) / n if len(logits) == n else None,
        towards_first=towards / n,
        agrees=_places(question, choices) if n > 1 else None,
    )


def _places(question: Question, choices: Sequence[str | None]) -> bool:
    """Whether all answers name the same alternative, wherever it was listed."""
    if "yes" in question.orders[0].request.choices:
        return len(set(choices)) == 1
    listed = [asked.request.choices for asked in question.orders]
    first, last = (order.index(str(choice)) for order, choice in zip(listed, choices, strict=True))
    return first == len(listed[0]) - 1 - last
