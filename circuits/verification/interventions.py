"""What a user wants done to nodes: their words, checked."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from circuits.graph.node import parse_node_id
from sae.host.sites import Site

__all__ = ["OPERATIONS", "Intervention", "parse_interventions"]

OPERATIONS = ("set", "scale", "ablate", "to_baseline")
WITH_VALUE = ("set", "scale")
_EVERYWHERE = re.compile(r"@\*$")


@dataclass(frozen=True)
class Intervention:
    """One operation on one feature, or on the error, at one position or place or at all of them."""

    operation: str
    site: Site
    feature: int | None
    """None for the error."""
    position: int | None
    """None for all positions that carry nodes."""
    value: float | None = None
    """What `set` sets and what `scale` multiplies by."""

    @property
    def node(self) -> str:
        """The node's name, as the user wrote it."""
        feature = "error" if self.feature is None else self.feature
        return f"{self.site}/{feature}@{'*' if self.position is None else self.position}"


def parse_interventions(operation: str, texts: Sequence[str]) -> list[Intervention]:
    """Read `NODE=VALUE` for `set` and `scale`, `NODE` for `ablate` and `to_baseline`.

    NODE is SITE/FEATURE@POSITION or SITE/error@POSITION; `@*` stands for all positions.

    Raises:
        ValueError: A text is malformed, its value is not finite, or an error is to be set to a number.
    """
    return [_parsed(operation, text) for text in texts]


def _parsed(operation: str, text: str) -> Intervention:
    name, equals, number = text.partition("=")
    if bool(equals) != (operation in WITH_VALUE):
        expected = "NODE=VALUE" if operation in WITH_VALUE else "NODE alone"
        raise ValueError(f"{operation} {text!r} is malformed, expected {expected}, for example 'resid_post.3/117@12'")
    everywhere = _EVERYWHERE.search(name) is not None
    site, position, feature = parse_node_id(_EVERYWHERE.sub("@0", name))
    if operation == "set" and feature is None:
        raise ValueError(f"set {text!r} names an error, which is a vector; scale or ablate it, or set it to_baseline")
    value = _number(operation, text, number) if equals else None
    return Intervention(operation, site, feature, None if everywhere else position, value)


def _number(operation: str, text: str, number: str) -> float:
    try:
        value = float(number)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"{operation} {text!r} has the value {number!r}, expected a finite number after '='")
    return value
