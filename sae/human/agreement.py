"""Do raters agree: Krippendorff's alpha of ratings, Cohen's or Fleiss' kappa of choices, with intervals over items."""

import math
import warnings
from collections.abc import Callable, Mapping, Sequence

import krippendorff
import numpy as np
from sklearn.metrics import cohen_kappa_score
from statsmodels.stats.inter_rater import aggregate_raters, fleiss_kappa

from sae.measurement import LEVEL, Measurement

__all__ = ["item_bootstrap", "kappa", "ordinal_alpha"]

N_DRAWS = 500


def ordinal_alpha(ratings: Sequence[Mapping[str, int]], *, seed: int = 0) -> Measurement:
    """Krippendorff's alpha for ordinal ratings; 1 is full agreement, 0 is that of chance.

    Args:
        ratings: One a rater, by item; items may be missing.
        seed: Of the resampled items.

    Returns:
        Without a value where no two raters rated one item, or all ratings are alike.

    Source: Krippendorff 2011, computing with the package of the same name.
    """
    items = sorted({item for own in ratings for item in own})
    table = np.array([[own.get(item, np.nan) for item in items] for own in ratings], dtype=float)
    table = table[:, (~np.isnan(table)).sum(0) >= 2]
    if table.size == 0:
        return _without("no item has ratings of two raters")
    return item_bootstrap(_alpha, table.T, seed=seed, reason="all ratings are alike")


def kappa(choices: Sequence[Mapping[str, int]], *, seed: int = 0) -> Measurement:
    """Agreement on nominal choices beyond chance: Cohen's kappa for two raters, Fleiss' for more.

    Args:
        choices: One a rater, by item; only items that all raters answered count.
        seed: Of the resampled items.

    Returns:
        Without a value where there are not two raters with items in common, or all choices are alike.
    """
    common = sorted(set.intersection(*(set(own) for own in choices))) if len(choices) >= 2 else []
    if not common:
        return _without("two raters with items in common are needed")
    table = np.array([[own[item] for own in choices] for item in common])
    statistic = _cohen if len(choices) == 2 else _fleiss
    return item_bootstrap(statistic, table, seed=seed, reason="all choices are alike")


def item_bootstrap(
    statistic: Callable[[np.ndarray], float], items: np.ndarray, *, seed: int, reason: str, n_draws: int = N_DRAWS
) -> Measurement:
    """A statistic of rows with its percentile interval over resampled rows; `reason` says why there may be no value."""
    value = statistic(items)
    if not math.isfinite(value):
        return _without(reason, len(items))
    rng = np.random.default_rng(seed)
    draws = [statistic(items[rng.integers(0, len(items), len(items))]) for _ in range(n_draws)]
    finite = [draw for draw in draws if math.isfinite(draw)]
    if len(items) < 2 or not finite:
        return Measurement(value, None, None, len(items), reason="too few items for an interval")
    low, high = np.quantile(finite, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Measurement(value, float(low), float(high), len(items), higher_is_better=True)


def _without(reason: str, n: int = 0) -> Measurement:
    return Measurement(None, None, None, n, reason=reason)


def _alpha(table: np.ndarray) -> float:
    if len(np.unique(table[~np.isnan(table)])) < 2:
        return math.nan
    return float(krippendorff.alpha(reliability_data=table.T, level_of_measurement="ordinal"))


def _cohen(table: np.ndarray) -> float:
    if len(np.unique(table)) < 2:
        return math.nan
    return float(cohen_kappa_score(table[:, 0], table[:, 1]))


def _fleiss(table: np.ndarray) -> float:
    if len(np.unique(table)) < 2:
        return math.nan
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return float(fleiss_kappa(aggregate_raters(table)[0]))
