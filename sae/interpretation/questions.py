"""What judges are asked, with the right answers kept apart from the questions."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from sae.interpretation.embedding_scores import N_SHOWN, IntruderGroup
from sae.interpretation.judges.request import JudgeRequest, Message
from sae.interpretation.sampling import BASE_TIER, POSITIVE, Example, Sample
from sae.interpretation.window_texts import WindowTexts

__all__ = ["Question", "detection_questions", "fuzzing_questions", "intruder_questions"]

SYSTEM = "You judge what parts of a language model respond to. You answer with one word or number and nothing else."
DETECTION = (
    "Explanation:\n{explanation}\n\nText:\n{text}\n\n"
    "A feature of a language model is said to respond to what the explanation describes. Does the text contain it, so "
    "that the feature is active somewhere in the text? Answer yes or no."
)
FUZZING = (
    "Explanation:\n{explanation}\n\nText:\n{text}\n\n"
    "A feature of a language model is said to respond to what the explanation describes. Some tokens of the text are "
    "marked <<like this>>. Are the marked ones those on which the feature is active? Answer yes or no."
)
INTRUDER = (
    "{texts}\n\nA feature of a language model is active in all of these texts but one. Which one does not belong with "
    "the others? Answer with its number."
)


@dataclass(frozen=True)
class Question:
    """One question about one feature.

    Attributes:
        request: What the judge sees.
        truth: The right answer; the judge does not see it.
        example: The example that it is about; None where it is about several.
    """

    request: JudgeRequest
    truth: str
    example: Example | None = None


def detection_questions(texts: WindowTexts, sample: Sample, explanation: str, like: JudgeRequest) -> list[Question]:
    """Whether the feature is active in each example."""
    return [
        Question(
            _request(like, DETECTION.format(explanation=explanation, text=texts.plain(each.window))),
            "yes" if each.is_positive else "no",
            each,
        )
        for each in sample.examples
    ]


def fuzzing_questions(texts: WindowTexts, sample: Sample, explanation: str, like: JudgeRequest) -> list[Question]:
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
        request = _request(like, FUZZING.format(explanation=explanation, text=texts.marked(each.window, places)))
        shown = replace(each, tier=POSITIVE if is_right else BASE_TIER)
        questions.append(Question(request, "yes" if is_right else "no", shown))
    return questions


def intruder_questions(texts: WindowTexts, groups: Sequence[IntruderGroup], like: JudgeRequest) -> list[Question]:
    """Which text of each group does not belong to it."""
    questions = []
    for group in groups:
        listed = "\n\n".join(f"Text {i}:\n{texts.plain(each.window)}" for i, each in enumerate(group.shown, 1))
        request = _request(like, INTRUDER.format(texts=listed))
        choices = tuple(str(number) for number in range(1, N_SHOWN + 1))
        questions.append(Question(replace(request, choices=choices, top_logprobs=0), str(group.place + 1)))
    return questions


def _request(like: JudgeRequest, question: str) -> JudgeRequest:
    return replace(like, messages=(Message("system", SYSTEM), Message("user", question)))
