"""Whether values rise with the dose, and where they cross half of their range."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import spearmanr
from sklearn.isotonic import IsotonicRegression

__all__ = ["IsotonicFit", "isotonic_fit", "spearman"]

FLAT = 1e-6
"""A fit that rises by less has no threshold."""


def spearman(values: Sequence[float]) -> float | None:
    """Rank correlation of values with their order; ties share their rank. None where all are equal or there are fewer than 3.

    A step that rises once, however sharp, has less than 1, for most of its values are equal.
    """
    if len(values) < 3 or max(values) - min(values) < FLAT:
        return None
    return float(spearmanr(range(len(values)), np.round(values, 6)).statistic)


@dataclass(frozen=True)
class IsotonicFit:
    """The rising curve that is nearest to some values in squares.

    Attributes:
        values: Of the curve.
        crossing: Index of the first value at or above the middle between its ends; None where it does not rise.
        explained: Share of the values' variance that the curve explains; 0 where there is none.
    """

    values: tuple[float, ...]
    crossing: int | None
    explained: float


def isotonic_fit(values: Sequence[float]) -> IsotonicFit:
    """Fit values in the order of their doses (scikit-learn's pool-adjacent-violators)."""
    given = np.asarray(values, dtype=float)
    fit = IsotonicRegression().fit_transform(np.arange(len(given)), given)
    spread = float(((given - given.mean()) ** 2).sum())
    explained = 1 - float(((given - fit) ** 2).sum()) / spread if spread > FLAT**2 else 0.0
    rises = fit[-1] - fit[0] > FLAT
    crossing = int(np.argmax(fit >= (fit[0] + fit[-1]) / 2)) if rises else None
    return IsotonicFit(tuple(fit.tolist()), crossing, explained)
