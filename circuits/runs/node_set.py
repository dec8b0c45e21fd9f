"""Nodes of a circuit, gathered by site."""

from collections.abc import Mapping
from dataclasses import dataclass

from jaxtyping import Int
from torch import Tensor

from sae.host.sites import Site

__all__ = ["NodeSet"]


@dataclass(frozen=True)
class NodeSet:
    """Nodes of a circuit: for each site their positions and features; feature -1 is the error of its position."""

    nodes: Mapping[Site, tuple[Int[Tensor, " nodes"], Int[Tensor, " nodes"]]]

    def __len__(self) -> int:
        return sum(len(position) for position, _ in self.nodes.values())
