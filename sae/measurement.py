"""One measured number with its interval, and the resampling that intervals come from.

The units that are resampled are what is independent: documents rather than tokens, templates rather than prompts.
"""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

import torch
from jaxtyping import Float64, Int64
from torch import Tensor

__all__ = ["Measurement", "bootstrap", "percentile_interval", "resampled_counts"]

N_DRAWS = 1000
LEVEL = 0.95


@dataclass(frozen=True)
class Measurement:
    """A number, how sure it is, and what it was measured on.

    Attributes:
        value: The number; None where there is none, and then `reason` says why.
        low: Lower end of the 95 % interval; None where it has none.
        high: Upper end.
        n: Independent units behind it, such as documents.
        unit: Of the value, such as `nats`; empty for shares.
        higher_is_better: None where neither is.
        reason: Why there is no value or no interval.
    """

    value: float | None
    low: float | None
    high: float | None
    n: int
    unit: str = ""
    higher_is_better: bool | None = None
    reason: str | None = None

    def __post_init__(self) -> None:
        for name in ("value", "low", "high"):
            number = getattr(self, name)
            if number is not None and not math.isfinite(number):
                raise ValueError(f"{name} of a measurement is {number}, expected a finite number or None")
        if self.value is None and not self.reason:
            raise ValueError("a measurement has neither value nor reason, expected one of them")

    def to_json(self) -> dict[str, Any]:
        """The fields by name."""
        return asdict(self)


def bootstrap(
    statistic: Callable[[Float64[Tensor, "draws units"]], Float64[Tensor, " draws"]],
    n_units: int,
    *,
    n_draws: int = N_DRAWS,
    seed: int = 0,
    unit: str = "",
    higher_is_better: bool | None = None,
) -> Measurement:
    """A statistic of units with its percentile interval over resampled units (Efron 1979).

    Args:
        statistic: From how often each unit counts, one row a draw, to one value a draw; not finite where a draw has
            no value, and such draws are left out. Called once with a row of ones for the value itself.
        n_units: How many units there are.
        n_draws: Resamples.
        seed: The same seed draws the same units, which pairs the statistics of several arms.
        unit: As in `Measurement`.
        higher_is_better: As in `Measurement`.

    Returns:
        The value on all units. Without an interval, and a reason instead, where there is one unit.
    """
    if n_units == 0:
        return Measurement(None, None, None, 0, unit, higher_is_better, "nothing was measured")
    value = float(statistic(torch.ones(1, n_units, dtype=torch.float64))[0])
    if not math.isfinite(value):
        return Measurement(None, None, None, n_units, unit, higher_is_better, "it is not defined on these units")
    if n_units == 1:
        return Measurement(value, None, None, 1, unit, higher_is_better, "one unit has no interval")
    low, high = percentile_interval(statistic(resampled_counts(n_units, n_draws=n_draws, seed=seed)))
    return Measurement(value, low, high, n_units, unit, higher_is_better)


def resampled_counts(n_units: int, *, n_draws: int = N_DRAWS, seed: int = 0) -> Float64[Tensor, "draws units"]:
    """How often each unit is drawn in each resample, with replacement; rows sum to `n_units`. To be read only."""
    return _drawn_counts(n_units, n_draws, seed)


@lru_cache(maxsize=2)
def _drawn_counts(n_units: int, n_draws: int, seed: int) -> Float64[Tensor, "draws units"]:
    """Kept, since a report takes hundreds of intervals over the same units."""
    drawn: Int64[Tensor, "draws units"] = torch.randint(
        n_units, (n_draws, n_units), generator=torch.Generator().manual_seed(seed)
    )
    counts = torch.zeros(n_draws, n_units, dtype=torch.float64)
    return counts.scatter_add_(1, drawn, torch.ones_like(drawn, dtype=torch.float64))


def percentile_interval(draws: Float64[Tensor, " draws"]) -> tuple[float, float]:
    """The middle 95 % of the finite draws.

    Raises:
        ValueError: No draw is finite.
    """
    finite = draws[draws.isfinite()]
    if len(finite) == 0:
        raise ValueError("no resample has a value, expected at least one; measure on more units")
    low, high = torch.quantile(finite, torch.tensor([(1 - LEVEL) / 2, (1 + LEVEL) / 2], dtype=torch.float64)).tolist()
    return low, high
