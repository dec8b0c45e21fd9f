"""Arms side by side: means with intervals, paired permutation tests, and agreement with an automated score."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import spearmanr

from sae.human.agreement import item_bootstrap
from sae.measurement import Measurement

__all__ = ["PairedDifference", "arm_mean", "correlation", "paired_difference"]

N_PERMUTATIONS = 10_000


@dataclass(frozen=True)
class PairedDifference:
    """One arm minus another over features of equal density.

    Attributes:
        quantity: What was compared.
        arm: The one.
        other: The other.
        difference: Mean difference over pairs.
        p: Share of sign flips with a difference as large, two-sided, the observed one counted.
        n_pairs: Pairs.
    """

    quantity: str
    arm: str
    other: str
    difference: Measurement
    p: float
    n_pairs: int


def arm_mean(values: Sequence[float], *, seed: int) -> Measurement:
    """The mean over items with an interval over items."""
    return item_bootstrap(lambda rows: float(rows.mean()), np.array(values, dtype=float), seed=seed, reason="no item")


def paired_difference(
    quantity: str, arm: str, other: str, by_pair: Mapping[str, Mapping[int, float]], *, seed: int
) -> PairedDifference | None:
    """Paired sign-flip permutation test; None where the arms share no pair.

    Args:
        quantity: What is compared.
        arm: One arm.
        other: Another.
        by_pair: By arm, the mean value of each pair.
        seed: Of the flips.

    Source: Fisher's randomisation test for matched pairs.
    """
    common = sorted(by_pair.get(arm, {}).keys() & by_pair.get(other, {}).keys())
    if not common:
        return None
    gaps = np.array([by_pair[arm][pair] - by_pair[other][pair] for pair in common])
    signs = np.random.default_rng(seed).choice((-1.0, 1.0), (N_PERMUTATIONS, len(gaps)))
    # equal up to rounding is as large
    as_large = np.abs((signs * gaps).mean(1)) >= abs(gaps.mean()) - 1e-12
    p = (1 + int(as_large.sum())) / (1 + N_PERMUTATIONS)
    return PairedDifference(quantity, arm, other, arm_mean(gaps.tolist(), seed=seed), p, len(common))


def correlation(rated: Sequence[float], scores: Sequence[float], *, seed: int) -> Measurement:
    """Spearman's rank correlation over features, with an interval over features."""
    if len(rated) < 3:
        return Measurement(None, None, None, len(rated), reason="fewer than three rated features have a score")
    table = np.array([rated, scores], dtype=float).T
    return item_bootstrap(_spearman, table, seed=seed, reason="ratings or scores are all alike")


def _spearman(table: np.ndarray) -> float:
    if any(len(np.unique(column)) < 2 for column in table.T):
        return math.nan
    return float(spearmanr(table[:, 0], table[:, 1]).statistic)
