"""Linear effects between two sites, and what is needed of a target to find them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor

from circuits.effects.node_table import NodeTable
from sae.host.blocks import Block
from sae.host.sites import Site

__all__ = ["EdgeSource", "EdgeTarget", "LinearEffect"]


class LinearEffect(NamedTuple):
    """Effects of the nodes of one site on those of another, in units of the metric."""

    total: Float[Tensor, "targets sources"]
    by_value: Float[Tensor, "targets sources"] | None
    """The part that leaves attention patterns as they are; None where no attention lies between."""


@dataclass(frozen=True)
class EdgeSource:
    """The nodes of a site as sources of one target."""

    nodes: NodeTable
    change: Float[Tensor, "nodes d_model"]
    """What setting each to its baseline adds to the stream, averaged over the references."""
    block: Block
    """What lies between them and the target."""


@dataclass(frozen=True)
class EdgeTarget:
    """The nodes of a site as targets."""

    site: Site
    nodes: NodeTable
    rows: Mapping[Site, Float[Tensor, "nodes d_model"]]
    """Of `target_rows`."""
    sources: Mapping[Site, EdgeSource]
    """By site, the target's parents."""
