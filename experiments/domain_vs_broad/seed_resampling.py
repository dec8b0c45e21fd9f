"""Means over the seeds of an arm, with seeds drawn again in every resample."""

import torch
from jaxtyping import Float64
from torch import Tensor

from sae.measurement import Measurement, percentile_interval, resampled_counts

__all__ = ["drawn_measurement", "mean_over_drawn_seeds"]


def mean_over_drawn_seeds(
    of_seeds: Float64[Tensor, "seeds draws_plus_1"], *, seed: int
) -> Float64[Tensor, " draws_plus_1"]:
    """The mean over all seeds first, then for each draw over seeds drawn with replacement.

    Args:
        of_seeds: Of each seed the value on all units, then those on each resample of them.
        seed: Of the draws of seeds; another one for each arm.
    """
    n_seeds, draws = len(of_seeds), of_seeds[:, 1:]
    counts = resampled_counts(n_seeds, n_draws=draws.shape[1], seed=seed)
    return torch.cat([of_seeds[:, 0].mean(0, keepdim=True), (counts * draws.T).sum(1) / n_seeds])


def drawn_measurement(
    draws: Float64[Tensor, " draws_plus_1"], n: int, *, unit: str = "", higher_is_better: bool | None = None
) -> Measurement:
    """The first draw is the value, the others make its interval."""
    value = float(draws[0])
    if not bool(draws[0].isfinite()):
        return Measurement(None, None, None, n, unit, higher_is_better, "not defined")
    if n < 2:
        return Measurement(value, None, None, n, unit, higher_is_better, "one unit has no interval")
    low, high = percentile_interval(draws[1:])
    return Measurement(value, low, high, n, unit, higher_is_better)
