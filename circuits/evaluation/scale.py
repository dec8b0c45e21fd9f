"""The scale from the baseline to the model on which circuits are measured, and how sure a place on it is.

    f(C) = (m(C) - m(none)) / (m(model) - m(none))

Several prompts give an interval: a bootstrap over them, or over the templates that they were made from. A lone prompt
gives a range, which is no interval: the least and the largest value that a single reference baseline gives.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from circuits.evaluation.kept_share import MIN_GAP, faithfulness, reason_to_withhold, resampling_weights
from circuits.runs.ensemble import Ensemble

__all__ = ["Estimate", "Scale", "first_of"]

Statistic = Callable[[Float[Tensor, "draws circuits"]], Float[Tensor, " draws"]]
"""From the shares that circuits keep to one number a draw."""

SMALLEST_OWN_GAP = 0.1
"""References whose own gap is below this share of the mean gap are left out of a range: their ratio says nothing."""


@dataclass(frozen=True)
class Estimate:
    """A number with how far it goes up and down; None where that, or all of it, cannot be said."""

    value: float | None
    low: float | None = None
    high: float | None = None
    reason: str | None = None
    """Why there is no value."""

    def to_json(self) -> dict[str, Any]:
        """All fields by name."""
        return asdict(self)


def first_of(shares: Float[Tensor, "draws circuits"]) -> Float[Tensor, " draws"]:
    """The statistic of one circuit by itself."""
    return shares[:, 0]


@dataclass(frozen=True, eq=False)
class Scale:
    """The two ends of the scale, one value a unit.

    Attributes:
        empty: m with every feature and error at its baseline.
        clean: m of the unedited model.
        is_lone: Whether the units are references of one prompt.
        groups: Of each unit, what it must be drawn together with.
        seed: Of the bootstrap.

    Raises:
        ValueError: The ends differ by less than 0.001, as they do when a prompt is its own baseline.
    """

    empty: Float[Tensor, " units"]
    clean: Float[Tensor, " units"]
    is_lone: bool
    groups: Sequence[str] | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        faithfulness(self.empty[None], self.empty, self.clean)

    @classmethod
    def of(cls, ensemble: Ensemble, empty: Float[Tensor, " units"], *, seed: int = 0) -> "Scale":
        """The scale of an ensemble, given m of its empty circuit."""
        return cls(empty, ensemble.clean_metrics, ensemble.is_lone, ensemble.groups, seed)

    @property
    def gap(self) -> float:
        """m(model) - m(none), the denominator."""
        return (self.clean - self.empty).mean().item()

    @cached_property
    def reason(self) -> str | None:
        """Why shares are withheld, or None: the denominator is not told apart from 0."""
        return reason_to_withhold(self.empty, self.clean, groups=self.groups, seed=self.seed)

    def shares(self, metrics: Float[Tensor, "circuits units"]) -> Float[Tensor, " circuits"]:
        """f of each circuit."""
        return faithfulness(metrics, self.empty, self.clean)

    def estimate(self, metrics: Float[Tensor, "circuits units"], statistic: Statistic = first_of) -> Estimate:
        """A statistic of the shares that circuits keep, with its interval or range.

        Args:
            metrics: m of the circuits.
            statistic: Of their shares, a draw at a time.
        """
        if self.reason is not None:
            return Estimate(None, reason=self.reason)
        value = statistic(self.shares(metrics)[None])[0].item()
        drawn = statistic(self._drawn(metrics))
        if len(drawn) < 2:
            return Estimate(value)
        ends = [0.0, 1.0] if self.is_lone else [0.025, 0.975]
        low, high = drawn.quantile(torch.tensor(ends)).tolist()
        return Estimate(value, low, high)

    def spread(self) -> dict[str, Any]:
        """What `low` and `high` of estimates are, for the record; of kind None where there are none."""
        n_units = len(self.empty)
        if self.is_lone:
            used = int(self._usable(self.clean - self.empty).sum())
            kind = "range" if used > 1 else None
            return {"kind": kind, "over": "references", "n": used, "n_left_out": n_units - used}
        n = len(set(self.groups)) if self.groups else n_units
        over = "templates" if self.groups else "prompts"
        return {"kind": "interval" if n > 1 else None, "over": over, "n": n, "n_left_out": 0}

    @cached_property
    def _weights(self) -> Float[Tensor, "draws units"] | None:
        return resampling_weights(len(self.empty), self.groups, seed=self.seed)

    def _drawn(self, metrics: Float[Tensor, "circuits units"]) -> Float[Tensor, "draws circuits"]:
        """Shares by reference of a lone prompt, else by resample of the units."""
        gaps, moved = self.clean - self.empty, metrics - self.empty
        if not self.is_lone:
            if self._weights is None:
                return metrics.new_zeros(0, len(metrics))
            gaps, moved = self._weights @ gaps, moved @ self._weights.T
        usable = self._usable(gaps)
        return (moved[:, usable] / gaps[usable]).T

    def _usable(self, gaps: Float[Tensor, " draws"]) -> Bool[Tensor, " draws"]:
        """Draws whose own denominator has the sign of the mean one and is not small against it."""
        return gaps * self.gap > max(MIN_GAP * abs(self.gap), SMALLEST_OWN_GAP * self.gap**2)
