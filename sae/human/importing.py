"""What raters said, unblinded: agreement, accuracy against chance, arms side by side, and how attentive raters were."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

import numpy as np

from sae.human.agreement import kappa, ordinal_alpha
from sae.human.answers import RATINGS, Answers, Key
from sae.human.comparing import PairedDifference, arm_mean, correlation, paired_difference
from sae.human.items import CHOICES, SHUFFLED, KeyEntry
from sae.measurement import Measurement

__all__ = ["ArmResult", "HumanEvaluation", "RaterResult", "evaluate_answers"]

ENOUGH_RATERS = 3


@dataclass(frozen=True)
class ArmResult:
    """One quantity of one arm.

    Attributes:
        quantity: `intruder` and `match` (accuracy), `clarity` and `clinical_meaning` (mean rating, 1 to 5).
        arm: The arm.
        is_null: Whether it means nothing by construction.
        value: Mean over items of the mean over raters.
        chance: What guessing gives; None for ratings.
    """

    quantity: str
    arm: str
    is_null: bool
    value: Measurement
    chance: float | None


@dataclass(frozen=True)
class RaterResult:
    """How attentive a rater was.

    Attributes:
        rater: The rater.
        n_answers: Answers given.
        gold: Share of answered gold checks that are right; None where none was answered.
        consistency: Share of repeated answers that are as they were, ratings within one; None where none was answered.
    """

    rater: str
    n_answers: int
    gold: float | None
    consistency: float | None


@dataclass(frozen=True)
class HumanEvaluation:
    """All that the answers say.

    Attributes:
        n_raters: Raters.
        note: What to keep in mind; None with three raters or more.
        raters: One a rater.
        alpha: Krippendorff's alpha (ordinal), by scale.
        kappa: Cohen's (two raters) or Fleiss' kappa, by kind of choice.
        arms: Every quantity of every arm.
        differences: Every pair of arms, by quantity.
        correlations: Rank correlation of ratings with the automated score, by scale.
        labels: Written labels, by arm and feature.
    """

    n_raters: int
    note: str | None
    raters: tuple[RaterResult, ...]
    alpha: dict[str, Measurement]
    kappa: dict[str, Measurement]
    arms: tuple[ArmResult, ...]
    differences: tuple[PairedDifference, ...]
    correlations: dict[str, Measurement]
    labels: dict[str, dict[str, list[str]]]

    def to_json(self) -> dict[str, Any]:
        """The fields by name."""
        return asdict(self)


def evaluate_answers(key: Key, answers: Sequence[Answers], *, seed: int = 0) -> HumanEvaluation:
    """Unblind the answers; repeats and gold checks count for the raters' attention only.

    Args:
        key: What the items are.
        answers: At least one rater's.
        seed: Of resamples and permutations.

    Raises:
        ValueError: There are no answers.
    """
    if not answers:
        raise ValueError("no answers were given, expected at least one rater's; nothing is computed without raters")
    counted = {name: entry for name, entry in key.items.items() if entry.repeat_of is None and not entry.is_gold}
    values = _values(counted, answers)
    by_pair = {quantity: _by_pair(counted, found) for quantity, found in values.items()}
    n = len(answers)
    few = f"{n} rater{'s' if n > 1 else ''} only, {ENOUGH_RATERS} or more are needed"
    ratings = {name: [_only(own.ratings[name], counted) for own in answers] for name in RATINGS}
    return HumanEvaluation(
        n_raters=n,
        note=None if n >= ENOUGH_RATERS else few,
        raters=tuple(_rater(key, own) for own in answers),
        alpha={name: ordinal_alpha(ratings[name], seed=seed) for name in RATINGS},
        kappa={kind: kappa([_only(own.choices, counted, kind) for own in answers], seed=seed) for kind in CHOICES},
        arms=tuple(_arm_results(key, counted, values, seed)),
        differences=tuple(_differences(by_pair, seed)),
        correlations={name: _correlation(counted, values[name], seed) for name in RATINGS},
        labels=_labels(counted, answers),
    )


def _only(given: Mapping[str, int], counted: Mapping[str, KeyEntry], kind: str | None = None) -> dict[str, int]:
    """The answers to counted items, of one kind if it is given."""
    return {name: value for name, value in given.items() if name in counted and kind in (None, counted[name].kind)}


def _values(counted: Mapping[str, KeyEntry], answers: Sequence[Answers]) -> dict[str, dict[str, float]]:
    """By quantity and item, the mean over raters: of being right, or of the rating."""
    found: dict[str, dict[str, float]] = {}
    for kind in CHOICES:
        chosen = [_only(own.choices, counted, kind) for own in answers]
        found[kind] = _means([{name: float(c == counted[name].answer) for name, c in own.items()} for own in chosen])
    for scale in RATINGS:
        found[scale] = _means([_only(own.ratings[scale], counted) for own in answers])
    return found


def _means(by_rater: Sequence[Mapping[str, int] | Mapping[str, float]]) -> dict[str, float]:
    names = sorted({name for own in by_rater for name in own})
    return {name: float(np.mean([own[name] for own in by_rater if name in own])) for name in names}


def _by_pair(counted: Mapping[str, KeyEntry], values: Mapping[str, float]) -> dict[str, dict[int, float]]:
    """By arm, the mean value of each pair."""
    found: dict[str, dict[int, list[float]]] = {}
    for name, value in values.items():
        found.setdefault(counted[name].arm, {}).setdefault(counted[name].pair, []).append(value)
    return {arm: {pair: float(np.mean(own)) for pair, own in pairs.items()} for arm, pairs in found.items()}


def _arm_results(
    key: Key, counted: Mapping[str, KeyEntry], values: Mapping[str, Mapping[str, float]], seed: int
) -> Iterable[ArmResult]:
    for quantity, found in values.items():
        chance = 1 / CHOICES[quantity] if quantity in CHOICES else None
        for arm in sorted({counted[name].arm for name in found}):
            own = [value for name, value in found.items() if counted[name].arm == arm]
            yield ArmResult(quantity, arm, arm in key.nulls or arm == SHUFFLED, arm_mean(own, seed=seed), chance)


def _differences(by_pair: Mapping[str, Mapping[str, Mapping[int, float]]], seed: int) -> Iterable[PairedDifference]:
    for quantity, arms in by_pair.items():
        for arm, other in combinations(sorted(arms), 2):
            found = paired_difference(quantity, arm, other, arms, seed=seed)
            if found is not None:
                yield found


def _correlation(counted: Mapping[str, KeyEntry], values: Mapping[str, float], seed: int) -> Measurement:
    scored = [(value, score) for name, value in values.items() if (score := counted[name].score) is not None]
    return correlation([value for value, _ in scored], [score for _, score in scored], seed=seed)


def _labels(counted: Mapping[str, KeyEntry], answers: Sequence[Answers]) -> dict[str, dict[str, list[str]]]:
    found: dict[str, dict[str, list[str]]] = {}
    for own in answers:
        for name, text in own.texts.items():
            if name in counted:
                found.setdefault(counted[name].arm, {}).setdefault(str(counted[name].feature), []).append(text)
    return found


def _rater(key: Key, own: Answers) -> RaterResult:
    gold = [choice == key.items[name].answer for name, choice in own.choices.items() if key.items[name].is_gold]
    same = [
        *_repeats(key, own.choices, lambda first, second: first == second),
        *(same for name in RATINGS for same in _repeats(key, own.ratings[name], lambda a, b: abs(a - b) <= 1)),
    ]
    return RaterResult(own.rater, own.n, _share(gold), _share(same))


def _repeats(key: Key, given: Mapping[str, int], agree: Callable[[int, int], bool]) -> list[bool]:
    """For each repeated item that was answered both times, whether the answers agree."""
    pairs = [(value, key.items[name].repeat_of) for name, value in given.items()]
    return [agree(value, given[first]) for value, first in pairs if first is not None and first in given]


def _share(holds: Sequence[bool]) -> float | None:
    return sum(holds) / len(holds) if holds else None
