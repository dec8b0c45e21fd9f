"""How well yes-or-no predictions tell active windows from inactive ones, in the ways that do not flatter.

F1 depends on the share of positives, so it comes with that share and with what always answering yes would get; the
figure to compare by is the balanced accuracy. A prediction that is missing counts neither as right nor as wrong: the
scores are of those that are there, and bounds say what the missing ones could make of the balanced accuracy.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy.stats import rankdata

from sae.interpretation.sampling import BASE_TIER, DECILES, TIERS, Example

__all__ = ["DetectionScore", "TierScore", "area_under_roc", "detection_score"]

Predictions = Sequence[bool | float | None]
"""True or 1 for active; between 0 and 1 where a judge said one thing and the other."""


@dataclass(frozen=True)
class TierScore:
    """One tier of negatives.

    Attributes:
        n: Negatives of the tier with a prediction.
        called_active: Share of them that are taken for active; 0 is right.
        auroc: Of positives against them, where predictions come with a score.
    """

    n: int
    called_active: float | None
    auroc: float | None


@dataclass(frozen=True)
class DetectionScore:
    """Positives against random negatives, the headline, and against each harder tier. What is not defined is None.

    Attributes:
        n_positive: Positives with a prediction.
        n_negative: Random negatives with one.
        n_failed: Examples of all tiers without one.
        sensitivity: Share of the positives that are found.
        specificity: Share of the random negatives that are left alone.
        balanced_accuracy: Mean of both; 0.5 for every judge that does not look.
        balanced_accuracy_low: The same if all missing predictions were wrong.
        balanced_accuracy_high: The same if all missing predictions were right.
        hard_balanced_accuracy: Mean of the sensitivity and of the mean specificity of the harder tiers.
        f1: 2 hits / (positives + called active).
        always_yes_f1: F1 of answering yes to the same examples.
        positive_share: Share of positives among both, on which either F1 depends.
        auroc: Probability that a positive scores above a random negative; ties count half.
        hard_auroc: The same against the negatives of all harder tiers.
        precision_at_density: Share of true ones among those called active if positives were as rare as in the corpus.
        tiers: By name.
        sensitivity_by_decile: From the weakest tenth of activations to the strongest.
    """

    n_positive: int
    n_negative: int
    n_failed: int
    sensitivity: float | None
    specificity: float | None
    balanced_accuracy: float | None
    balanced_accuracy_low: float | None
    balanced_accuracy_high: float | None
    hard_balanced_accuracy: float | None
    f1: float | None
    always_yes_f1: float | None
    positive_share: float | None
    auroc: float | None
    hard_auroc: float | None
    precision_at_density: float | None
    tiers: dict[str, TierScore]
    sensitivity_by_decile: tuple[float | None, ...]

    def to_json(self) -> dict[str, Any]:
        """The fields by name."""
        return asdict(self)


def detection_score(
    examples: Sequence[Example],
    predictions: Predictions,
    *,
    density: float | None = None,
    scores: Sequence[float | None] | None = None,
) -> DetectionScore:
    """Score the predictions for some examples.

    Args:
        examples: What was predicted.
        predictions: As `Predictions`; None where there is no prediction.
        density: Share of the corpus' windows in which the feature is active, for the precision there.
        scores: Something that grows with the belief that it is active, where there is such a thing.
    """
    positive = [place for place, each in enumerate(examples) if each.is_positive]
    base = [place for place, each in enumerate(examples) if each.tier == BASE_TIER]
    hard = [place for place, each in enumerate(examples) if not each.is_positive and each.tier != BASE_TIER]
    hits, false_alarms = _share(predictions, positive), _share(predictions, base)
    n_positive, n_negative = _answered(predictions, positive), _answered(predictions, base)
    low, high = (_balanced(_filled(examples, predictions, right), positive, base) for right in (False, True))
    n = n_positive + n_negative
    return DetectionScore(
        n_positive=n_positive,
        n_negative=n_negative,
        n_failed=sum(each is None for each in predictions),
        sensitivity=hits,
        specificity=None if false_alarms is None else 1 - false_alarms,
        balanced_accuracy=_balanced(predictions, positive, base),
        balanced_accuracy_low=low,
        balanced_accuracy_high=high,
        hard_balanced_accuracy=_hard(examples, predictions, hits),
        f1=_f1(predictions, positive, base),
        always_yes_f1=2 * n_positive / (n_positive + n) if n_positive and n_negative else None,
        positive_share=n_positive / n if n else None,
        auroc=_auroc(scores, positive, base),
        hard_auroc=_auroc(scores, positive, hard),
        precision_at_density=_precision(hits, false_alarms, density),
        tiers={tier: _tier(examples, predictions, scores, positive, tier) for tier in TIERS},
        sensitivity_by_decile=tuple(
            _share(predictions, [place for place in positive if examples[place].decile == decile])
            for decile in range(DECILES)
        ),
    )


def area_under_roc(positive: Sequence[float], negative: Sequence[float]) -> float | None:
    """Probability that one of the first is larger than one of the second (Mann and Whitney 1947); ties count half."""
    if not positive or not negative:
        return None
    ranks = rankdata(np.array([*positive, *negative], dtype=float))
    wins = ranks[: len(positive)].sum() - len(positive) * (len(positive) + 1) / 2
    return float(wins / (len(positive) * len(negative)))


def _answered(predictions: Predictions, places: Sequence[int]) -> int:
    return sum(predictions[place] is not None for place in places)


def _share(predictions: Predictions, places: Sequence[int]) -> float | None:
    """Share called active among those with a prediction."""
    answers = [float(given) for place in places if (given := predictions[place]) is not None]
    return sum(answers) / len(answers) if answers else None


def _balanced(predictions: Predictions, positive: Sequence[int], negative: Sequence[int]) -> float | None:
    hits, false_alarms = _share(predictions, positive), _share(predictions, negative)
    return None if hits is None or false_alarms is None else (hits + 1 - false_alarms) / 2


def _filled(examples: Sequence[Example], predictions: Predictions, right: bool) -> list[bool | float]:
    """The predictions with all missing ones right, or all wrong."""
    return [
        example.is_positive == right if given is None else given
        for example, given in zip(examples, predictions, strict=True)
    ]


def _hard(examples: Sequence[Example], predictions: Predictions, hits: float | None) -> float | None:
    """Balanced accuracy against the harder tiers, each with the same weight."""
    shares = [
        _share(predictions, [place for place, each in enumerate(examples) if each.tier == tier])
        for tier in TIERS
        if tier != BASE_TIER
    ]
    known = [share for share in shares if share is not None]
    return None if hits is None or not known else (hits + 1 - sum(known) / len(known)) / 2


def _f1(predictions: Predictions, positive: Sequence[int], negative: Sequence[int]) -> float | None:
    n_positive = _answered(predictions, positive)
    if n_positive == 0 or _answered(predictions, negative) == 0:
        return None
    n_hits, n_false = (sum(float(predictions[place] or 0.0) for place in places) for places in (positive, negative))
    n_called = n_hits + n_false
    return 2 * n_hits / (n_positive + n_called)


def _auroc(scores: Sequence[float | None] | None, positive: Sequence[int], negative: Sequence[int]) -> float | None:
    if scores is None:
        return None
    of_positive, of_negative = (
        [score for place in places if (score := scores[place]) is not None] for places in (positive, negative)
    )
    return area_under_roc(of_positive, of_negative)


def _precision(hits: float | None, false_alarms: float | None, density: float | None) -> float | None:
    """By Bayes' rule from the rates on the sample; None where nothing is called active."""
    if hits is None or false_alarms is None or density is None:
        return None
    called = hits * density + false_alarms * (1 - density)
    return hits * density / called if called else None


def _tier(
    examples: Sequence[Example],
    predictions: Predictions,
    scores: Sequence[float | None] | None,
    positive: Sequence[int],
    tier: str,
) -> TierScore:
    places = [place for place, each in enumerate(examples) if each.tier == tier]
    return TierScore(_answered(predictions, places), _share(predictions, places), _auroc(scores, positive, places))
