"""One score of one feature under one condition, whoever gave it."""

from dataclasses import dataclass, field
from typing import Any

from sae.interpretation.detection_score import DetectionScore

__all__ = ["CONDITIONS", "EXPLAINED", "SHUFFLED", "TOPIC", "ScoreTable", "Scored", "of_detection"]

EXPLAINED, SHUFFLED, TOPIC = "explained", "shuffled", "topic"
CONDITIONS = (EXPLAINED, SHUFFLED, TOPIC)
"""With the feature's own explanation, with that of another one which fires as often, with the topic of the corpus."""


@dataclass(frozen=True)
class Scored:
    """What a scorer says of a feature.

    Attributes:
        metrics: By name; None where one is not defined.
        trivial: What answering without looking would get, by the name of the metric.
        details: All there is to say, for the record.
        n_failed: Questions without an answer.
        bounds: Of `balanced_accuracy` or `accuracy`, if all failures were wrong, and if all were right.
    """

    metrics: dict[str, float | None]
    trivial: dict[str, float | None]
    details: dict[str, Any] = field(default_factory=dict)
    n_failed: int = 0
    bounds: tuple[float | None, float | None] = (None, None)


ScoreTable = dict[str, dict[str, dict[int, Scored]]]
"""By scorer, condition and feature."""


def of_detection(score: DetectionScore) -> Scored:
    """A detection score by its figures; those of harder negatives and of graded answers where there are some."""
    further = {"hard_balanced_accuracy": score.hard_balanced_accuracy, "auroc": score.auroc}
    defined = {name: value for name, value in further.items() if value is not None}
    metrics = {"balanced_accuracy": score.balanced_accuracy, "f1": score.f1, **defined}
    trivial = {"balanced_accuracy": 0.5, "f1": score.always_yes_f1, **dict.fromkeys(defined, 0.5)}
    bounds = (score.balanced_accuracy_low, score.balanced_accuracy_high)
    return Scored(metrics, trivial, score.to_json(), score.n_failed, bounds)
