"""Numbers of a series: how monotone, where it crosses, what nodes carry of its rise."""

import random
from collections.abc import Mapping, Sequence
from typing import Any

from experiments.clinical_reasoning.analyses.dose_response.monotone import isotonic_fit, spearman

__all__ = ["crosses_at_threshold", "rank_correlation", "risen", "shuffled", "step_ceiling"]

Series = Mapping[str, Any]


def rank_correlation(values: Sequence[float]) -> float:
    """Spearman with the dose; 0 where the values are all equal, and so follow nothing."""
    return spearman(values) or 0.0


def step_ceiling(series: Series) -> float:
    """Spearman of the true step with the dose: what a model that knows the threshold and nothing else has."""
    return rank_correlation([float(each) for each in series["is_present"]])


def crosses_at_threshold(series: Series, values: Sequence[float]) -> bool:
    """Whether the isotonic fit first reaches half of its rise at the first dose that expresses the finding."""
    return isotonic_fit(values).crossing == series["is_present"].index(True)


def risen(series: Series, values: Sequence[float]) -> float:
    """Mean of effects on the base over the doses that express the finding."""
    own = [value for value, is_present in zip(values, series["is_present"], strict=True) if is_present]
    return sum(own) / len(own)


def shuffled(values: Sequence[float], index: int) -> list[float]:
    """The same values at other doses: the number in the text says nothing of the dose any more."""
    return random.Random(f"doses {index}").sample(list(values), len(values))
