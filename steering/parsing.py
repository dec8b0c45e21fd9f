"""Edits as a user writes them: `SITE/FEATURE:OP[=VALUE[unit]][@POSITIONS]`, as `resid_post.2/117:add=2max_act@last`."""

import re

from steering.directions import Feature
from steering.interventions import OPERATIONS, UNITS, Intervention

__all__ = ["parse_edit", "parse_strength"]

_EDIT = re.compile(r"(?P<feature>[^:@=]+):(?P<operation>[^:@=]+)(?:=(?P<strength>[^@]*))?(?:@(?P<positions>.+))?")
_STRENGTH = re.compile(r"(?P<number>[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)(?P<unit>[a-z_]*)", re.ASCII)
_DEFAULTS = {"project": 0.0}
"""What an operation does where the user gives it no value."""


def parse_edit(text: str, *, positions: str = "all") -> Intervention:
    """Read one edit.

    Args:
        text: As above. Without a unit the value is `raw`; `project` without a value is `project=0`.
        positions: Where it acts if the text does not say.

    Raises:
        ValueError: The text is malformed, or says what cannot be; the message quotes it.
    """
    match = _EDIT.fullmatch(text.strip())
    if match is None or match["operation"] not in OPERATIONS:
        raise ValueError(
            f"edit {text!r} is malformed, expected SITE/FEATURE:OP[=VALUE[unit]][@POSITIONS] with OP one of "
            f"{', '.join(OPERATIONS)}, for example 'resid_post.2/117:add=2max_act'"
        )
    feature, operation = Feature.parse(match["feature"].strip()), match["operation"]
    value, unit = _DEFAULTS.get(operation), "raw"
    if match["strength"] is not None:
        value, unit = parse_strength(match["strength"])
    return Intervention(feature, operation, value, unit, match["positions"] or positions)


def parse_strength(text: str) -> tuple[float, str]:
    """Read a number and the unit behind it, `raw` where there is none.

    Raises:
        ValueError: It is no finite number, or the unit is unknown.
    """
    match = _STRENGTH.fullmatch(text.strip())
    if match is None or (match["unit"] or "raw") not in UNITS:
        raise ValueError(
            f"strength {text!r} cannot be read, expected a finite number and a unit, {', '.join(UNITS)}, as in 2max_act"
        )
    return float(match["number"]), match["unit"] or "raw"
