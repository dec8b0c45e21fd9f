"""Methods beside each other where they do as much harm as the first one at its chosen strength."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float64
from torch import Tensor

from sae.measurement import Measurement, bootstrap, resampled_counts
from steering.sweep.choosing import Statistic, curve, mean_of_units
from steering.sweep.equal_harm import effect_at_harm, strength_at_harm
from steering.sweep.measuring import MeasuredMethod

__all__ = ["EFFECTS", "Compared", "Comparison", "compare_at_equal_harm"]

EFFECTS = {"target_rate": ("is_top", ""), "target_logit": ("log_odds", "nats")}
"""What is compared: columns of `MeasuredMethod.of_prompts`, and their units."""

UNMOVED = "no usable strength of the first method makes the target the top answer to a prompt that chooses"


@dataclass(frozen=True)
class Compared:
    """One method.

    Attributes:
        name: Of the method.
        unit: Of its strength.
        strength: That does the harm; None where none does.
        effects: There, by name.
        differences: To the first method's, paired by prompt and text; empty for the first itself.
        reason: Why nothing could be compared.
    """

    name: str
    unit: str
    strength: float | None
    effects: Mapping[str, Measurement]
    differences: Mapping[str, Measurement]
    reason: str | None = None

    def to_json(self) -> dict[str, Any]:
        """The fields by name."""
        return {
            "method": self.name,
            "unit": self.unit,
            "strength": self.strength,
            **{name: found.to_json() for name, found in self.effects.items()},
            "differences": {name: found.to_json() for name, found in self.differences.items()},
            "reason": self.reason,
        }


@dataclass(frozen=True)
class Comparison:
    """Methods at equal off-target KL.

    Attributes:
        level: That KL, in nats a token.
        methods: The first is the one whose harm is the measure.
    """

    level: Measurement
    methods: tuple[Compared, ...]

    def to_json(self) -> dict[str, Any]:
        """The fields by name."""
        return {"kl_off_target": self.level.to_json(), "methods": [each.to_json() for each in self.methods]}


def compare_at_equal_harm(
    methods: Sequence[MeasuredMethod], chosen: int, reports: Bool[Tensor, " prompts"], *, seed: int = 0
) -> Comparison:
    """Effects on the target where the off-target KL is that of the first method at a strength.

    Args:
        methods: Measured on the same prompts and texts.
        chosen: Which strength of the first method.
        reports: The prompts to report on, none of which chose.
        seed: Of the resampling, of prompts and of texts.
    """
    pairing = _Pairing(methods[0], chosen, reports, seed)
    return Comparison(pairing.level(), tuple(pairing.compared(method) for method in methods))


class _Pairing:
    """The first method at its strength, and the resamples in which all others meet it."""

    def __init__(self, first: MeasuredMethod, chosen: int, reports: Bool[Tensor, " prompts"], seed: int) -> None:
        self._first, self._chosen, self._reports, self._seed = first, chosen, reports, seed
        self._n_prompts, self._n_texts = int(reports.sum()), first.of_texts["divergence"].shape[1]
        self._level = float(curve(_harms(first), self._n_texts)[chosen])

    def level(self) -> Measurement:
        """The harm that all are compared at."""
        harms = _harms(self._first)
        return bootstrap(lambda counts: harms(counts)[:, self._chosen], self._n_texts, seed=self._seed + 1, unit="nats")

    def compared(self, method: MeasuredMethod) -> Compared:
        """A method beside the first."""
        strength = self._strength(method)
        if strength is None or self._chosen == 0:
            reason = UNMOVED if self._chosen == 0 else self._never(method)
            nothing = dict.fromkeys(EFFECTS, Measurement(None, None, None, self._n_prompts, reason=reason))
            return Compared(method.name, method.unit, None, nothing, nothing, reason)
        effects = {
            name: self._bootstrapped(self._effects(method, column), unit) for name, (column, unit) in EFFECTS.items()
        }
        differences = {
            name: self._bootstrapped(self._less_than_first(method, column), unit)
            for name, (column, unit) in EFFECTS.items()
            if method is not self._first
        }
        return Compared(method.name, method.unit, strength, effects, differences)

    def _bootstrapped(self, statistic: Statistic, unit: str) -> Measurement:
        return bootstrap(lambda counts: statistic(counts)[:, 0], self._n_prompts, seed=self._seed, unit=unit)

    def _effects(self, method: MeasuredMethod, column: str) -> Statistic:
        """An effect at equal harm; texts are resampled with the prompts, independently of them."""
        means, harms, harms_of_first = self._reported(method, column), _harms(method), _harms(self._first)

        def statistic(counts: Float64[Tensor, "draws prompts"]) -> Float64[Tensor, "draws one"]:
            if method is self._first:
                return means(counts)[:, self._chosen, None]
            of_texts = self._text_counts(len(counts))
            level = harms_of_first(of_texts)[:, self._chosen]
            return effect_at_harm(harms(of_texts), means(counts), level)[:, None]

        return statistic

    def _less_than_first(self, method: MeasuredMethod, column: str) -> Statistic:
        of_method, of_first = self._effects(method, column), self._effects(self._first, column)
        return lambda counts: of_method(counts) - of_first(counts)

    def _reported(self, method: MeasuredMethod, column: str) -> Statistic:
        return mean_of_units(method.of_prompts[column][:, self._reports])

    def _text_counts(self, n_draws: int) -> Float64[Tensor, "draws texts"]:
        """All texts once for the value itself, as prompts are, and the same resamples for every method."""
        if n_draws == 1:
            return torch.ones(1, self._n_texts, dtype=torch.float64)
        return resampled_counts(self._n_texts, n_draws=n_draws, seed=self._seed + 1)

    def _strength(self, method: MeasuredMethod) -> float | None:
        """Where a method does the harm, on all texts."""
        if method is self._first:
            return method.strengths[self._chosen]
        harms = curve(_harms(method), self._n_texts)
        found = strength_at_harm(torch.tensor(method.strengths, dtype=torch.float64), harms, self._level)
        return None if math.isnan(found) else found

    def _never(self, method: MeasuredMethod) -> str:
        """Why a method cannot be compared, and what it comes to."""
        harms = curve(_harms(method), self._n_texts)
        most = int(harms.argmax())
        rate = float(method.of_prompts["is_top"][most, self._reports].mean())
        return (
            f"the curves do not meet: off-target KL is at most {float(harms[most]):.3g} of {self._level:.3g} nats, "
            f"at {method.strengths[most]:g} {method.unit}, where the target rate is {rate:.2f}"
        )


def _harms(method: MeasuredMethod) -> Statistic:
    return mean_of_units(method.of_texts["divergence"])
