"""A measured method as curves over strengths, the range in which its text is usable, and the strength to take."""

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float64
from torch import Tensor

from sae.measurement import Measurement, bootstrap
from steering.sweep.measuring import MeasuredMethod

__all__ = [
    "MOST_PERPLEXITY",
    "chosen_strength",
    "curve",
    "mean_of_units",
    "measured_curve",
    "perplexity_ratios",
    "usable_strengths",
]

MOST_PERPLEXITY = 1.5
"""Of the continuations, as a multiple of that of the plain ones, up to which text counts as usable."""

ENOUGH = 0.9
"""Share of the best target rate from which a smaller strength is taken."""

Statistic = Callable[[Float64[Tensor, "draws units"]], Float64[Tensor, "draws strengths"]]
"""From how often each prompt or text counts to a curve a draw."""


def mean_of_units(values: Float64[Tensor, "strengths units"]) -> Statistic:
    """Means over the units that have a value."""
    has_value = (~values.isnan()).double()

    def statistic(counts: Float64[Tensor, "draws units"]) -> Float64[Tensor, "draws strengths"]:
        return counts @ values.nan_to_num(0.0).T / (counts @ has_value.T)

    return statistic


def perplexity_ratios(measured: MeasuredMethod, chosen: Bool[Tensor, " prompts"]) -> Statistic:
    """Perplexity of the continuations, over all tokens, as a multiple of that of the plain ones."""
    losses, n_tokens = (measured.of_prompts[name][:, chosen] for name in ("loss", "n_tokens"))

    def statistic(counts: Float64[Tensor, "draws units"]) -> Float64[Tensor, "draws strengths"]:
        means = counts @ losses.T / (counts @ n_tokens.T)
        return (means - means[:, :1]).exp()

    return statistic


def curve(statistic: Statistic, n_units: int) -> Float64[Tensor, " strengths"]:
    """The curve itself, every unit counted once."""
    return statistic(torch.ones(1, n_units, dtype=torch.float64))[0]


def measured_curve(statistic: Statistic, n_units: int, n_strengths: int, *, seed: int, unit: str) -> list[Measurement]:
    """The curve with an interval at each strength; the same seed draws the same units for every curve."""
    return [
        bootstrap(lambda counts, at=index: statistic(counts)[:, at], n_units, seed=seed, unit=unit)  # type: ignore[misc]
        for index in range(n_strengths)
    ]


def usable_strengths(measured: MeasuredMethod, chosen: Bool[Tensor, " prompts"]) -> int:
    """How many strengths, from none upwards, keep the perplexity below `MOST_PERPLEXITY`: at least 1."""
    ratios = curve(perplexity_ratios(measured, chosen), int(chosen.sum()))
    # text without a token has no perplexity, and is of no use
    beyond = (~(ratios <= MOST_PERPLEXITY)).nonzero()[:, 0]
    return max(1, int(beyond[0]) if len(beyond) else len(ratios))


def chosen_strength(measured: MeasuredMethod, chosen: Bool[Tensor, " prompts"]) -> int:
    """The smallest usable strength that makes the target the top answer nearly as often as the best one does.

    0, no strength, where none ever does.

    Args:
        measured: The method.
        chosen: The prompts to go by; report on others.
    """
    n_usable = usable_strengths(measured, chosen)
    rates = measured.of_prompts["is_top"][:n_usable, chosen].mean(1)
    return int((rates >= ENOUGH * rates.max()).int().argmax())
