"""What is to be done to one sequence: interventions, as frozen records that go to JSON and back.

With a the feature's activation on the stream as it reaches the site, d its decoder row and v the strength, the stream
gets, for each edit of a site at once,

    add      v d
    clamp    (v - a) d           a negative v only where a > 0: where there is nothing, nothing is turned round
    min      (v - a) d           where a < v
    max      (v - a) d           where a > v
    scale    (v - 1) a d
    ablate   - a d
    project  what makes <x, d> = v <d, d>; 0 removes the direction. Last, and for all projections of a site jointly

so that what the SAE misses of the stream stays as it is. A direction that is no feature has no activation: it can be
added and projected. Source: clamping with the error kept, Templeton et al. 2024 (Scaling Monosemanticity, section on
steering); negative clamps, Farrell, Lau and Conmy 2024 (arXiv 2410.19278); directional ablation, Arditi et al. 2024
(arXiv 2406.11717), section 2.4.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from steering.directions import Direction, Target, target_from_json
from steering.positions import SPAN_PREFIX, check_positions

__all__ = ["OPERATIONS", "UNITS", "Intervention", "SteeringSpec"]

OPERATIONS = ("add", "clamp", "min", "max", "scale", "ablate", "project")
UNITS = ("max_act", "resid", "sigma", "raw")
"""Of strengths, see `steering/units.py`."""
OF_DIRECTIONS = ("add", "project")
_WITHOUT_STRENGTH = ("scale", "ablate")


@dataclass(frozen=True)
class Intervention:
    """One operation on one feature or direction.

    Attributes:
        target: What is moved.
        operation: One of `OPERATIONS`.
        value: The strength v in `unit`; of `scale` the factor; None for `ablate`.
        unit: One of `UNITS`; `raw` for `scale` and `ablate`, which have no strength.
        positions: Where, see `steering/positions.py`.

    Raises:
        ValueError: These do not go together; the message says why.
    """

    target: Target
    operation: str
    value: float | None = None
    unit: str = "raw"
    positions: str = "all"

    def __post_init__(self) -> None:
        if self.operation not in OPERATIONS:
            raise ValueError(
                f"{self.target.name} has the unknown operation {self.operation!r}, "
                f"expected one of {', '.join(OPERATIONS)}"
            )
        if self.unit not in UNITS:
            raise ValueError(
                f"{self.target.name} has the unknown unit {self.unit!r}, expected one of {', '.join(UNITS)}"
            )
        check_positions(self.positions)
        if isinstance(self.target, Direction) and self.operation not in OF_DIRECTIONS:
            raise ValueError(
                f"{self.target.name} is a direction and has no activation to {self.operation}, expected "
                f"{' or '.join(OF_DIRECTIONS)}"
            )
        self._check_value()

    def _check_value(self) -> None:
        if (self.value is None) != (self.operation == "ablate"):
            expected = "no value" if self.operation == "ablate" else "one, as in clamp=2max_act"
            raise ValueError(f"{self.operation} of {self.target.name} has the value {self.value}, expected {expected}")
        if self.value is not None and not math.isfinite(self.value):
            raise ValueError(
                f"{self.operation} of {self.target.name} has the value {self.value}, expected a finite one"
            )
        if self.operation in _WITHOUT_STRENGTH and self.unit != "raw":
            raise ValueError(f"{self.operation} of {self.target.name} has the unit {self.unit}, expected none")
        if self.operation in ("min", "max") and self.value is not None and self.value < 0:
            raise ValueError(
                f"{self.operation} of {self.target.name} is {self.value}, but activations are never below 0, "
                "expected at least 0; a negative clamp turns the feature round"
            )

    @property
    def has_strength(self) -> bool:
        """Whether `value` is a strength with a unit."""
        return self.operation not in _WITHOUT_STRENGTH

    def with_value(self, value: float) -> "Intervention":
        """The same at another strength, in the same unit.

        Raises:
            ValueError: It has none, or the value is not finite.
        """
        return replace(self, value=value)

    def __str__(self) -> str:
        value = "" if self.value is None else f"={self.value:g}{self.unit if self.has_strength else ''}"
        return f"{self.target.name}:{self.operation}{value}@{self.positions}"

    def to_json(self) -> dict[str, Any]:
        """The fields by name, those of the target among them; the unit is null where there is no strength."""
        return {
            **self.target.to_json(),
            "operation": self.operation,
            "value": self.value,
            "unit": self.unit if self.has_strength else None,
            "positions": self.positions,
        }

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> "Intervention":
        """What `to_json` wrote.

        Raises:
            ValueError: It is damaged or says what cannot be.
        """
        try:
            value = record["value"]
            return cls(
                target_from_json(record),
                str(record["operation"]),
                None if value is None else 1.0 * value,
                record["unit"] or "raw",
                str(record["positions"]),
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"the edit {record} is damaged ({error!r}), expected what `steering` wrote") from None


@dataclass(frozen=True)
class SteeringSpec:
    """Everything that is done to one sequence; nothing at all for one that is left as it is.

    Raises:
        ValueError: Two interventions are of one target and may meet.
    """

    interventions: tuple[Intervention, ...] = ()

    def __post_init__(self) -> None:
        for index, each in enumerate(self.interventions):
            for other in self.interventions[:index]:
                if other.target == each.target and _may_meet(other.positions, each.positions):
                    raise ValueError(
                        f"{other} and {each} contradict each other, expected one edit of a target; drop one"
                    )

    @property
    def is_plain(self) -> bool:
        """Whether nothing is done."""
        return not self.interventions

    def sweep(self, values: Iterable[float]) -> tuple["SteeringSpec", ...]:
        """The same single intervention at several strengths.

        Raises:
            ValueError: There is not exactly one intervention, it takes no value, or a value is not finite.
        """
        if len(self.interventions) != 1:
            raise ValueError(f"a sweep is of one edit, got {len(self.interventions)}; give exactly one")
        return tuple(SteeringSpec((self.interventions[0].with_value(value),)) for value in values)

    def to_json(self) -> list[dict[str, Any]]:
        """The interventions, one after another."""
        return [each.to_json() for each in self.interventions]

    @classmethod
    def from_json(cls, records: Sequence[Mapping[str, Any]]) -> "SteeringSpec":
        """What `to_json` wrote.

        Raises:
            ValueError: It is damaged or says what cannot be.
        """
        return cls(tuple(Intervention.from_json(record) for record in records))


def _may_meet(one: str, other: str) -> bool:
    return one == other or not (one.startswith(SPAN_PREFIX) and other.startswith(SPAN_PREFIX))
