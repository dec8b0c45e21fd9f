"""Units of strength, all brought to one: the coefficient of the direction as it is.

The coefficient v adds v d to the stream, where d is a feature's decoder row or a direction's vector; of a feature it
is an activation. One unit is

    raw       v = 1
    max_act   the feature's largest activation on the reference text
    resid     a change as long as the site's median activation:  v = median |x| / |d|
    sigma     one standard deviation of the stream along d:      v = std <x, d/|d|> / |d|
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from steering.directions import Target
from steering.interventions import UNITS, Intervention
from steering.reference_activations import ReferenceActivations

__all__ = ["UnitSizes", "unit_sizes"]

LARGEST = torch.finfo(torch.float32).max


@dataclass(frozen=True)
class UnitSizes:
    """Coefficients of a strength of 1 in each unit.

    Attributes:
        name: Of the direction.
        sizes: By unit; above 0. `raw` is always there and is 1.
        lacking: Why another unit is not, by unit.
    """

    name: str
    sizes: Mapping[str, float]
    lacking: Mapping[str, str]

    def coefficient(self, intervention: Intervention) -> float:
        """The strength of an intervention as a coefficient; of `scale` its factor, of `ablate` 0.

        Raises:
            ValueError: Its unit needs statistics that are not there, or it is beyond single precision.
        """
        if intervention.unit not in self.sizes:
            raise ValueError(
                f"{intervention.operation} of {self.name} is in {intervention.unit}, which cannot be measured: "
                f"{self.lacking[intervention.unit]}; give the strength in another unit"
            )
        coefficient = (intervention.value or 0.0) * self.sizes[intervention.unit]
        if abs(coefficient) > LARGEST:
            raise ValueError(
                f"{intervention.operation} of {self.name} has a strength of {coefficient:g} raw, beyond what float32 "
                "holds; give a smaller one"
            )
        return coefficient

    def in_every_unit(self, coefficient: float) -> dict[str, float | None]:
        """A coefficient in each of `UNITS`; None where a unit is lacking."""
        return {unit: coefficient / self.sizes[unit] if unit in self.sizes else None for unit in UNITS}


def unit_sizes(
    target: Target,
    direction: Float[Tensor, " d_model"],
    references: ReferenceActivations | str,
    feature: int | None,
) -> UnitSizes:
    """How large each unit is along a direction.

    Args:
        target: What the direction is called.
        direction: The decoder row or vector.
        references: What is known of the site, or why nothing is.
        feature: The feature's index in the dictionary that `references` looked at; None for other directions.
    """
    if isinstance(references, str):
        return UnitSizes(target.name, {"raw": 1.0}, dict.fromkeys(UNITS[:-1], references))
    length = float(direction.norm())
    found = {
        "max_act": _max_act(references, feature),
        "resid": references.median_norm / length if length else 0.0,
        "sigma": references.deviation_along(direction) / length if length else 0.0,
    }
    reasons = {"max_act": _why_no_max_act(references, feature)}
    lacking = {
        unit: reasons.get(unit, f"the activations of {references.source} have no extent along it")
        for unit, size in found.items()
        if not size > 0
    }
    return UnitSizes(
        target.name, {"raw": 1.0, **{unit: size for unit, size in found.items() if unit not in lacking}}, lacking
    )


def _max_act(references: ReferenceActivations, feature: int | None) -> float:
    return 0.0 if feature is None or references.max_acts is None else float(references.max_acts[feature])


def _why_no_max_act(references: ReferenceActivations, feature: int | None) -> str:
    if feature is None or references.max_acts is None:
        return "only features have activations"
    return f"it is active on none of {references.source} (--statistics and --statistics-tokens choose others)"
