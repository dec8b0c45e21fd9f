"""What judges are asked, with the right answers kept apart from the questions.

A judge may prefer what is listed first. So each question can be put twice, the second time with its alternatives in
reversed order: the mean over both owes nothing to their places.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from sae.interpretation.embedding_scores import IntruderGroup
from sae.interpretation.judges.request import JudgeRequest, Message
from sae.interpretation.sampling import BASE_TIER, POSITIVE, Example, Sample
from sae.interpretation.window_texts import WindowTexts

__all__ = [
    "Asked",
    "Question",
    "detection_question",
    "detection_questions",
    "fuzzing_question",
    "fuzzing_questions",
    "intruder_question",
    "intruder_questions",
]

SYSTEM = "You judge what parts of a language model respond to. You answer with one word or number and nothing else."
DETECTION = (
    "Explanation:\n{explanation}\n\nText:\n{text}\n\n"
    "A feature of a language model is said to respond to what the explanation describes. Does the text contain it, so "
    "that the feature is active somewhere in the text? Answer {first} or {last}."
)
FUZZING = (
    "Explanation:\n{explanation}\n\nText:\n{text}\n\n"
    "A feature of a language model is said to respond to what the explanation describes. Some tokens of the text are "
    "marked <<like this>>. Are the marked ones those on which the feature is active? Answer {first} or {last}."
)
INTRUDER = (
    "{texts}\n\nA feature of a language model is active in all of these texts but one. Which one does not belong with "
    "the others? Answer with its number."
)


YES_OR_NO = ("yes", "no")


@dataclass(frozen=True)
class Asked:
    """A question in one order of its alternatives.

    Attributes:
        request: What the judge sees; its choices are in the order in which they are listed.
        truth: The right answer; the judge does not see it.
    """

    request: JudgeRequest
    truth: str


@dataclass(frozen=True)
class Question:
    """One question about one feature.

    Attributes:
        orders: As it is asked: once, or in both orders of the alternatives.
        example: The example that it is about; None where it is about several.
    """

    orders: tuple[Asked, ...]
    example: Example | None = None


def detection_question(
    explanation: str,
    text: str,
    is_there: bool,
    like: JudgeRequest,
    *,
    both_orders: bool = False,
    example: Example | None = None,
) -> Question:
    """Whether a text contains what an explanation describes.

    Args:
        explanation: In words.
        text: The text.
        is_there: The right answer.
        like: What all requests have in common.
        both_orders: Whether to ask for "no or yes" too.
        example: The example behind the text.
    """
    return _yes_or_no(DETECTION, explanation, text, is_there, like, both_orders, example)


def fuzzing_question(
    explanation: str,
    marked: str,
    is_right: bool,
    like: JudgeRequest,
    *,
    both_orders: bool = False,
    example: Example | None = None,
) -> Question:
    """Whether the marked tokens of a text are those that an explanation describes; arguments as above."""
    return _yes_or_no(FUZZING, explanation, marked, is_right, like, both_orders, example)


def intruder_question(texts: Sequence[str], place: int, like: JudgeRequest, *, both_orders: bool = False) -> Question:
    """Which of some texts does not belong to the others; `place` is its index."""
    choices = tuple(str(number) for number in range(1, len(texts) + 1))
    listings = [(texts, place), (texts[::-1], len(texts) - 1 - place)]
    orders = []
    for listed, odd in listings if both_orders else listings[:1]:
        shown = "\n\n".join(f"Text {number}:\n{text}" for number, text in enumerate(listed, 1))
        request = _request(like, INTRUDER.format(texts=shown))
        orders.append(Asked(replace(request, choices=choices, top_logprobs=0), choices[odd]))
    return Question(tuple(orders))


def detection_questions(
    texts: WindowTexts, sample: Sample, explanation: str, like: JudgeRequest, *, both_orders: bool = False
) -> list[Question]:
    """Whether the feature is active in each example."""
    return [
        detection_question(
            explanation, texts.plain(each.window), each.is_positive, like, both_orders=both_orders, example=each
        )
        for each in sample.examples
    ]


def fuzzing_questions(
    texts: WindowTexts, sample: Sample, explanation: str, like: JudgeRequest, *, both_orders: bool = False
) -> list[Question]:
    """Whether the marked tokens of active windows are the active ones.

    Every other window of each tenth of activations has its active tokens marked; in the rest as many others are marked,
    so that the texts are alike and the marks are not. The wrongly marked count as the random negatives of the score.
    """
    windows, questions = texts.windows, []
    active = set(windows.text.firings(sample.feature)[0].tolist())
    generator = torch.Generator().manual_seed(like.seed * 1_000_003 + sample.feature)
    for number, each in enumerate(each for each in sample.examples if each.is_positive):
        start, end = int(windows.starts[each.window]), int(windows.ends[each.window])
        right = [token - start for token in range(start, end) if token in active]
        others = [place for place in range(end - start) if place not in right]
        is_right = number % 2 == 0
        if not is_right and len(others) < len(right):
            continue
        drawn = torch.randperm(len(others), generator=generator)[: len(right)].tolist()
        places = right if is_right else [others[place] for place in drawn]
        marked = texts.marked(each.window, places)
        shown = replace(each, tier=POSITIVE if is_right else BASE_TIER)
        questions.append(fuzzing_question(explanation, marked, is_right, like, both_orders=both_orders, example=shown))
    return questions


def intruder_questions(
    texts: WindowTexts, groups: Sequence[IntruderGroup], like: JudgeRequest, *, both_orders: bool = False
) -> list[Question]:
    """Which text of each group does not belong to it."""
    return [
        intruder_question(
            [texts.plain(each.window) for each in group.shown], group.place, like, both_orders=both_orders
        )
        for group in groups
    ]


def _yes_or_no(
    wording: str,
    explanation: str,
    text: str,
    is_yes: bool,
    like: JudgeRequest,
    both_orders: bool,
    example: Example | None,
) -> Question:
    listings = [YES_OR_NO, YES_OR_NO[::-1]]
    orders = []
    for choices in listings if both_orders else listings[:1]:
        shown = wording.format(explanation=explanation, text=text, first=choices[0], last=choices[-1])
        orders.append(Asked(replace(_request(like, shown), choices=choices), "yes" if is_yes else "no"))
    return Question(tuple(orders), example)


def _request(like: JudgeRequest, question: str) -> JudgeRequest:
    return replace(like, messages=(Message("system", SYSTEM), Message("user", question)))
