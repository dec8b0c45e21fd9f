"""Scores of many features as a few rows: means with intervals over features, each beside its nulls."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from types import MappingProxyType
from typing import Any

import torch

from sae.interpretation.calibration import CalibrationScore
from sae.interpretation.scored import EXPLAINED, SHUFFLED, TOPIC, Scored, ScoreTable
from sae.measurement import Measurement, bootstrap

__all__ = ["Row", "metric_names", "summarise"]

NOT_CALIBRATED: Mapping[str, CalibrationScore] = MappingProxyType({})


@dataclass(frozen=True)
class Row:
    """One metric over all features that have it.

    Attributes:
        name: Scorer and metric, such as `lexical_f1`.
        value: With the features' own explanations.
        shuffled: With explanations of others that fire as often.
        topic: With the topic of the corpus as the explanation.
        gain: `value` - `shuffled`, over the features that have both.
        trivial: Mean of what answering without looking gets.
        n_failed: Questions without an answer, with the features' own explanations.
        low: Mean if all failures were wrong; None where nothing failed or the metric has no such bound.
        high: Mean if all failures were right.
        random: Of random directions that fire as often as the features; None where they were not scored.
        judge_accuracy: Of the judge on questions of this kind whose answers are known; None without a judge.
    """

    name: str
    value: Measurement
    shuffled: Measurement
    topic: Measurement
    gain: Measurement
    trivial: float | None
    n_failed: int
    low: float | None
    high: float | None
    random: Measurement | None = None
    judge_accuracy: Measurement | None = None

    def to_json(self) -> dict[str, Any]:
        """The fields by name."""
        return asdict(self)


def summarise(
    table: ScoreTable, calibration: Mapping[str, CalibrationScore] = NOT_CALIBRATED, *, seed: int = 0
) -> list[Row]:
    """A row for each metric of each scorer.

    Args:
        table: The scores.
        calibration: What the judge makes of questions with known answers, by scorer.
        seed: Of the resampling; equal seeds draw the same features in all rows.
    """
    return [
        replace(
            _row(scorer, metric, conditions, seed),
            judge_accuracy=calibration[scorer].accuracy if scorer in calibration else None,
        )
        for scorer, conditions in table.items()
        for metric in metric_names(conditions.get(EXPLAINED, {}))
    ]


def metric_names(scored: Mapping[int, Scored]) -> list[str]:
    """Names of the metrics that occur, in their order."""
    return list(dict.fromkeys(metric for each in scored.values() for metric in each.metrics))


def _row(scorer: str, metric: str, conditions: Mapping[str, Mapping[int, Scored]], seed: int) -> Row:
    own, shuffled, topic = (_values(conditions.get(name, {}), metric) for name in (EXPLAINED, SHUFFLED, TOPIC))
    both = own.keys() & shuffled.keys()
    scored = conditions[EXPLAINED].values()
    trivial = [value for each in scored if (value := each.trivial.get(metric)) is not None]
    n_failed = sum(each.n_failed for each in scored)
    is_bounded = n_failed > 0 and metric in ("balanced_accuracy", "accuracy")
    low, high = (_mean([each.bounds[side] for each in scored]) if is_bounded else None for side in (0, 1))
    return Row(
        name=f"{scorer}_{metric}".removesuffix("_"),
        value=_measurement(own, seed),
        shuffled=_measurement(shuffled, seed),
        topic=_measurement(topic, seed),
        gain=_measurement({feature: own[feature] - shuffled[feature] for feature in both}, seed),
        trivial=_mean(trivial),
        n_failed=n_failed,
        low=low,
        high=high,
    )


def _values(scored: Mapping[int, Scored], metric: str) -> dict[int, float]:
    found = {feature: each.metrics.get(metric) for feature, each in scored.items()}
    return {feature: value for feature, value in found.items() if value is not None}


def _measurement(values: Mapping[int, float], seed: int) -> Measurement:
    ordered = torch.tensor([values[feature] for feature in sorted(values)], dtype=torch.float64)
    return bootstrap(lambda counts: counts @ ordered / counts.sum(1), len(ordered), seed=seed, higher_is_better=True)


def _mean(values: list[float | None] | list[float]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
