"""Ratios of sums over units, pooled over the dictionaries of an arm's seeds.

Units are what is independent: documents, concepts, targets, features. Where all dictionaries have the same ones,
resamples draw the same for every seed and every arm, so that arms are compared in pairs; features are each dictionary's
own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float64
from torch import Tensor

from experiments.domain_vs_broad.seed_resampling import drawn_measurement, mean_over_drawn_seeds
from sae.measurement import Measurement, resampled_counts

__all__ = ["Ratio", "mean_of", "pooled", "pooled_difference", "pooled_gap"]

STREAM = 1009
"""Seeds of resamples of one dictionary's own units lie so far apart."""


@dataclass(frozen=True, eq=False)
class Ratio:
    """A ratio of sums, of one dictionary.

    Attributes:
        above: What each unit adds above.
        below: What it adds below; 0 for units that have no value.
        is_shared: Whether every other dictionary has the same units, in the same order.
    """

    above: Float64[Tensor, " units"]
    below: Float64[Tensor, " units"]
    is_shared: bool = True


def mean_of(values: Sequence[float | None], *, is_shared: bool = True) -> Ratio:
    """The mean of the units that have a value."""
    above = torch.tensor([0.0 if value is None else value for value in values], dtype=torch.float64)
    below = torch.tensor([float(value is not None) for value in values], dtype=torch.float64)
    return Ratio(above, below, is_shared)


def pooled(
    seeds: Sequence[Ratio], *, stream: int = 0, unit: str = "", higher_is_better: bool | None = None
) -> Measurement:
    """The mean over seeds, with its interval over units and seeds.

    Args:
        seeds: The ratio of each seed's dictionary; none where nothing was measured.
        stream: Of the draws; another one for each arm.
        unit: Of the value.
        higher_is_better: As in `Measurement`.
    """
    seeds = _measured(seeds)
    if not seeds:
        return Measurement(None, None, None, 0, unit, higher_is_better, "nothing was measured")
    return drawn_measurement(_draws(seeds, stream), _n(seeds), unit=unit, higher_is_better=higher_is_better)


def pooled_difference(
    arms: Mapping[str, Sequence[Ratio]], arm: str, other: str, *, unit: str = "", higher_is_better: bool | None = None
) -> Measurement:
    """An arm less another one; in pairs of units where these are shared.

    Args:
        arms: Of each arm the ratios of its seeds.
        arm: Which.
        other: Less which.
        unit: Of the value.
        higher_is_better: As in `Measurement`.
    """
    ours, theirs = _measured(arms[arm]), _measured(arms[other])
    if not (ours and theirs):
        return Measurement(None, None, None, 0, unit, higher_is_better, "one of the two was not measured")
    names = list(arms)
    draws = _draws(ours, names.index(arm)) - _draws(theirs, names.index(other))
    return drawn_measurement(draws, min(_n(ours), _n(theirs)), unit=unit, higher_is_better=higher_is_better)


def pooled_gap(
    seeds: Sequence[Ratio], nulls: Sequence[Ratio], *, unit: str = "", higher_is_better: bool | None = None
) -> Measurement:
    """A ratio less another one of the same dictionaries: seeds are drawn alike, and units that are the same ones.

    Args:
        seeds: The ratio of each seed's dictionary.
        nulls: The other one, in the same order.
        unit: Of the value.
        higher_is_better: As in `Measurement`.
    """
    pairs = [pair for pair in zip(seeds, nulls, strict=True) if len(_measured(pair)) == 2]
    if not pairs:
        return Measurement(None, None, None, 0, unit, higher_is_better, "one of the two was not measured")
    ours, theirs = zip(*pairs, strict=True)
    draws = _draws(ours, 0) - _draws(theirs, 0)
    return drawn_measurement(draws, min(_n(ours), _n(theirs)), unit=unit, higher_is_better=higher_is_better)


def _measured(seeds: Sequence[Ratio]) -> list[Ratio]:
    """Those that have a unit with a value."""
    return [ratio for ratio in seeds if bool((ratio.below != 0).any())]


def _n(seeds: Sequence[Ratio]) -> int:
    """Units with a value: of all dictionaries together, or of the first one where they share them."""
    counted = seeds[:1] if seeds[0].is_shared else seeds
    return sum(int((ratio.below != 0).sum()) for ratio in counted)


def _draws(seeds: Sequence[Ratio], stream: int) -> Float64[Tensor, " draws_plus_1"]:
    of_seeds = torch.stack([_of_seed(ratio, (stream + 1) * STREAM + s) for s, ratio in enumerate(seeds)])
    return mean_over_drawn_seeds(of_seeds, seed=stream + 1)


def _of_seed(ratio: Ratio, own: int) -> Float64[Tensor, " draws_plus_1"]:
    n = len(ratio.above)
    everything = torch.ones(1, n, dtype=torch.float64)
    counts = torch.cat([everything, resampled_counts(n, seed=0 if ratio.is_shared else own)])
    return (counts @ ratio.above) / (counts @ ratio.below)
