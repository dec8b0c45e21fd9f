"""How far a judge can be trusted: questions of the very kinds that it is asked, whose answers are known.

Sentences of the bundled corpus are asked about with concepts that they do or do not mention. With the concept of
another group in place of the own one, nothing is right any more: a judge that reads what it is shown falls to chance.
Every question is asked in both orders of its alternatives, which shows whether places sway the judge.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch

from sae.interpretation.calibration_texts import MentionGroup, Sentence, mention_groups
from sae.interpretation.judgements import Judgement, judged
from sae.interpretation.judges.answers import Verdict
from sae.interpretation.judges.request import JudgeRequest
from sae.interpretation.questions import Question, detection_question, fuzzing_question, intruder_question
from sae.measurement import Measurement, bootstrap

__all__ = ["NO_CALIBRATION", "Calibration", "CalibrationScore", "calibration_of", "score_calibration"]

WORD = re.compile(r"\w[\w-]*")
CHANCE = {"detection": 0.5, "fuzzing": 0.5, "intruder": 0.2}

Groups = tuple[tuple[Question, ...], ...]
"""The questions about each group, as many right as wrong where the answer is yes or no."""


@dataclass(frozen=True)
class Calibration:
    """Questions by scorer.

    Attributes:
        own: With the concept that each question is about.
        shuffled: With that of another group, and the answers that would be right with the own one; of intruders,
            with texts that have nothing in common.
    """

    own: Mapping[str, Groups]
    shuffled: Mapping[str, Groups]

    @property
    def questions(self) -> list[Question]:
        """All of them, in the order in which `score_calibration` takes the verdicts."""
        parts = [groups for part in (self.own, self.shuffled) for groups in part.values()]
        return [question for groups in parts for group in groups for question in group]


NO_CALIBRATION = Calibration({}, {})


@dataclass(frozen=True)
class CalibrationScore:
    """What a judge makes of the questions of one scorer; intervals over groups.

    Attributes:
        accuracy: Share that is right, yes and no with the same weight; over both orders.
        shuffled: The same with nothing to go by; `chance` unless something else gives the answers away.
        position_bias: Share that takes the alternative listed first less the share that takes the one listed last;
            0 of a judge that heeds what is said, 1 of one that always takes the first.
        same_in_both_orders: Share that is answered alike in both orders.
        chance: Accuracy of answering without looking.
        n_questions: Questions, each in both orders.
        n_failed: Those without an answer in either.
        low: Accuracy if all these were wrong.
        high: The same if they were right.
    """

    accuracy: Measurement
    shuffled: Measurement
    position_bias: Measurement
    same_in_both_orders: Measurement
    chance: float
    n_questions: int
    n_failed: int
    low: float
    high: float

    def to_json(self) -> dict[str, Any]:
        """The fields by name."""
        return asdict(self)


def calibration_of(scorers: Iterable[str], like: JudgeRequest) -> Calibration:
    """The questions of some scorers; always the same ones.

    Args:
        scorers: Some of `CHANCE`.
        like: What all requests have in common.

    Raises:
        ValueError: The bundled corpus is not there.
    """
    scorers = list(scorers)
    groups = mention_groups() if scorers else []
    make: dict[str, Callable[[MentionGroup, str], tuple[Question, ...]]] = {
        "detection": lambda group, name: _detection(group, name, like),
        "fuzzing": lambda group, name: _fuzzing(group, name, like),
    }
    own = {scorer: tuple(make[scorer](each, each.name) for each in groups) for scorer in scorers if scorer in make}
    shuffled = {scorer: tuple(make[scorer](each, each.other) for each in groups) for scorer in own}
    if "intruder" in scorers:
        own["intruder"] = tuple(
            _intruder(each.sentences, each.stranger, place, like) for place, each in enumerate(groups)
        )
        shuffled["intruder"] = tuple(
            _intruder(_unrelated(groups, place), each.stranger, place, like) for place, each in enumerate(groups)
        )
    return Calibration(own, shuffled)


def score_calibration(calibration: Calibration, verdicts: Sequence[Verdict]) -> dict[str, CalibrationScore]:
    """By scorer what a judge made of it, from one verdict for each order of `calibration.questions`."""
    judgements = iter(judged(calibration.questions, verdicts))
    own, shuffled = (
        {scorer: [[next(judgements) for _ in group] for group in groups] for scorer, groups in part.items()}
        for part in (calibration.own, calibration.shuffled)
    )
    return {scorer: _score(groups, shuffled[scorer], CHANCE[scorer]) for scorer, groups in own.items()}


def _score(own: list[list[Judgement]], shuffled: list[list[Judgement]], chance: float) -> CalibrationScore:
    everything = [judgement for group in own for judgement in group]
    n, n_failed = len(everything), sum(each.right is None for each in everything)
    n_right = sum(each.right or 0.0 for each in everything)
    agrees = [[Judgement(right=None if e.agrees is None else float(e.agrees)) for e in group] for group in own]
    bias = [[Judgement(right=each.towards_first) for each in group] for group in own]
    return CalibrationScore(
        accuracy=_mean_of_groups(own, higher_is_better=True),
        shuffled=_mean_of_groups(shuffled),
        position_bias=_mean_of_groups(bias),
        same_in_both_orders=_mean_of_groups(agrees, higher_is_better=True),
        chance=chance,
        n_questions=n,
        n_failed=n_failed,
        low=n_right / n,
        high=(n_right + n_failed) / n,
    )


def _mean_of_groups(groups: list[list[Judgement]], higher_is_better: bool | None = None) -> Measurement:
    """Mean over the groups all of whose questions are answered."""
    values = [[each.right for each in group] for group in groups]
    known = [[value for value in group if value is not None] for group in values if None not in group]
    means = torch.tensor([sum(group) / len(group) for group in known], dtype=torch.float64)
    return bootstrap(lambda counts: counts @ means / counts.sum(1), len(means), higher_is_better=higher_is_better)


def _detection(group: MentionGroup, name: str, like: JudgeRequest) -> tuple[Question, ...]:
    return tuple(
        detection_question(_explanation(name), sentence.text, is_there, like, both_orders=True)
        for sentence, is_there in ((group.sentences[0], True), (group.stranger, False))
    )


def _fuzzing(group: MentionGroup, name: str, like: JudgeRequest) -> tuple[Question, ...]:
    sentence = max(group.sentences, key=lambda each: len(each.text))
    right = sentence.mentions[group.name]
    wrong = _elsewhere(sentence, right)
    return tuple(
        fuzzing_question(_explanation(name), _marked(sentence.text, *place), is_right, like, both_orders=True)
        for place, is_right in ((right, True), (wrong, False))
    )


def _intruder(
    sentences: Sequence[Sentence], stranger: Sentence, place: int, like: JudgeRequest
) -> tuple[Question, ...]:
    texts = [each.text for each in sentences]
    at = place % (len(texts) + 1)
    return (intruder_question([*texts[:at], stranger.text, *texts[at:]], at, like, both_orders=True),)


def _unrelated(groups: Sequence[MentionGroup], place: int) -> list[Sentence]:
    """One sentence each of the groups after the next."""
    return [groups[(place + 2 + n) % len(groups)].sentences[n] for n in range(len(groups[place].sentences))]


def _elsewhere(sentence: Sentence, right: tuple[int, int]) -> tuple[int, int]:
    """As many words in a row that express nothing of the concept, in the middle of those that there are."""
    n_words = len(WORD.findall(sentence.text[slice(*right)]))
    words = [match.span() for match in WORD.finditer(sentence.text)]
    runs = [(words[i][0], words[i + n_words - 1][1]) for i in range(len(words) - n_words + 1)]
    apart = [(start, end) for start, end in runs if end <= right[0] or start >= right[1]]
    return apart[len(apart) // 2]


def _marked(text: str, start: int, end: int) -> str:
    return f"{text[:start]}<<{text[start:end]}>>{text[end:]}"


def _explanation(name: str) -> str:
    return f'mentions of "{name}"'
