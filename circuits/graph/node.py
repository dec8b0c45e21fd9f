"""Nodes and edges of a circuit, and how a node is named.

A node is one SAE feature, or the SAE's whole error, at one site and one token position: `resid_post.3/117@12` is
feature 117 at token 12, `resid_post.3/error@12` the error there. Positions count from 0 and include BOS.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from sae.host.sites import Site

__all__ = ["EDGE_NUMBERS", "NODE_NUMBERS", "Edge", "Node", "check_finite", "parse_node_id", "single_precision"]

_NODE_ID = re.compile(r"(?P<site>[^/@]+)/(?P<feature>\d{1,9}|error)@(?P<position>\d{1,9})", re.ASCII)
_LARGEST = float(np.finfo(np.float32).max)
NODE_NUMBERS = ("activation", "baseline_activation", "indirect_effect", "exact_effect", "selection_frequency")
EDGE_NUMBERS = ("effect", "exact_effect", "value_effect", "query_key_effect")


def single_precision(value: float) -> float:
    """The shortest decimal number that names the same float32 as `value`: what a person reads in a file.

    >>> single_precision(0.10000000149011612)
    0.1
    """
    return float(str(np.float32(value)))


def check_finite(owner: str, numbers: Iterable[tuple[str, float]]) -> None:
    """Raise a ValueError that names the first number which is NaN, infinite or beyond single precision.

    Args:
        owner: What the numbers belong to, for the message.
        numbers: Pairs of name and value.
    """
    for name, value in numbers:
        if not abs(value) <= _LARGEST:
            raise ValueError(f"{name} of {owner} must be a finite number, got {value}")


def parse_node_id(text: str) -> tuple[Site, int, int | None]:
    """Take a node's name apart.

    Args:
        text: For example `resid_post.3/117@12` or `resid_post.3/error@12`.

    Returns:
        Site, token position, and feature index (None for an error).

    Raises:
        ValueError: If `text` is no node id or names no site.
    """
    match = _NODE_ID.fullmatch(text)
    if match is None:
        raise ValueError(
            f"node id {text!r} is malformed, expected SITE/FEATURE@POSITION or SITE/error@POSITION, "
            "for example 'resid_post.3/117@12'"
        )
    feature = None if match["feature"] == "error" else int(match["feature"])
    return Site.parse(match["site"]), int(match["position"]), feature


@dataclass(frozen=True)
class Node:
    """A feature or an error at one token, with its effect on the metric m = logit(target) - logit(foil)."""

    site: Site
    position: int
    """Index into the prompt's tokens."""
    feature: int | None
    """Index into the SAE's dictionary; None for the error."""
    token: str
    """Text of the token at `position`."""
    activation: float
    """On the prompt: the feature's activation; for an error the norm of its vector."""
    baseline_activation: float
    """The same under the baseline."""
    indirect_effect: float
    """m(node set to its baseline) - m(clean), in units of m; negative where the node supports the target."""
    label: str | None = None
    label_f1: float | None = None
    """How well the label predicts where the feature is active, 0 to 1."""
    exact_effect: float | None = None
    """`indirect_effect` as measured by setting this node alone to its baseline; None where it was not measured."""
    selection_frequency: float | None = None
    """Share of resampled or repeated discoveries that keep this node, 0 to 1; None where none were made."""

    def __post_init__(self) -> None:
        if self.position < 0 or (self.feature is not None and self.feature < 0):
            raise ValueError(f"node {self.id} must have a position and a feature of at least 0")
        check_finite(f"node {self.id}", _given(self, NODE_NUMBERS))
        for name, share in _given(self, ("label_f1", "selection_frequency")):
            if not 0 <= share <= 1:
                raise ValueError(f"{name} of node {self.id} must lie in [0, 1], got {share}")

    @property
    def id(self) -> str:
        """Unique name within a circuit."""
        return f"{self.site}/{'error' if self.feature is None else self.feature}@{self.position}"

    @property
    def kind(self) -> str:
        """`feature` or `error`."""
        return "error" if self.feature is None else "feature"

    @property
    def contribution(self) -> float:
        """-indirect_effect: positive where the node supports the target, negative where it supports the foil."""
        return 0.0 - self.indirect_effect

    def to_json(self) -> dict[str, Any]:
        """The node's record in `circuit.json`, numbers in single precision."""
        return {
            "id": self.id,
            "site": str(self.site),
            "position": self.position,
            "token": self.token,
            "kind": self.kind,
            "feature": self.feature,
            "activation": single_precision(self.activation),
            "baseline_activation": single_precision(self.baseline_activation),
            "indirect_effect": single_precision(self.indirect_effect),
            "contribution": single_precision(self.contribution),
            "label": self.label,
            "label_f1": self.label_f1,
            "exact_effect": _single_or_none(self.exact_effect),
            "selection_frequency": _single_or_none(self.selection_frequency),
        }


@dataclass(frozen=True)
class Edge:
    """A direct connection between two nodes of a circuit."""

    source: str
    """Id of the upstream node."""
    target: str
    """Id of the downstream node."""
    effect: float
    """Change of m through this edge when the source is set to its baseline, in units of m: signed as
    `indirect_effect`."""
    exact_effect: float | None = None
    """The same with the target's change measured in a run of the block; None where it was not measured."""
    value_effect: float | None = None
    """Of an edge through attention: the part that runs through its values; None for other edges."""
    query_key_effect: float | None = None
    """Of an edge through attention: the part that moves its pattern; None for other edges."""

    def __post_init__(self) -> None:
        check_finite(f"edge {self.source} -> {self.target}", _given(self, EDGE_NUMBERS))

    @property
    def contribution(self) -> float:
        """-effect: positive where the edge supports the target."""
        return 0.0 - self.effect

    def to_json(self) -> dict[str, Any]:
        """The edge's record in `circuit.json`, numbers in single precision."""
        numbers = {name: _single_or_none(getattr(self, name)) for name in EDGE_NUMBERS}
        return {"source": self.source, "target": self.target, **numbers}


def _given(owner: Node | Edge, names: Iterable[str]) -> list[tuple[str, float]]:
    """The numbers that are not None."""
    return [(name, value) for name in names if (value := getattr(owner, name)) is not None]


def _single_or_none(value: float | None) -> float | None:
    return None if value is None else single_precision(value)
