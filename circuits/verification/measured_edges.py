"""Effects of single edges, measured: the source alone at its baseline, every other site held clean up to the target.

`circuits/effects/exact_edges.py` runs the blocks; here the edges of a circuit are picked from what it finds.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from circuits.effects.ensemble_effects import EnsembleEffects, ensemble_edges
from circuits.effects.node_table import ERROR, NodeTable
from circuits.graph.node import Edge, parse_node_id
from circuits.runs.ensemble import Ensemble
from sae.host.sites import Site

__all__ = ["measure_edges"]

EVERY_EDGE = -1.0
"""A threshold that also lets through edges which are estimated as 0."""


def measure_edges(ensemble: Ensemble, effects: EnsembleEffects, edges: Sequence[Edge]) -> Float[Tensor, " edges"]:
    """Measured effect of each edge: summed over the positions of both places, mean over references and prompts.

    Args:
        ensemble: The runs that the edges belong to.
        effects: Of its nodes; the derivatives at the targets are taken from here.
        edges: In any order. One that no prompt has, because none has its nodes, measures 0.
    """
    ends = [(_key(edge.source), _key(edge.target)) for edge in edges]
    tables = _tables([node for pair in ends for node in pair])
    scored = ensemble_edges(ensemble, effects, tables, threshold=EVERY_EDGE, exact=True)
    measured = {(edge.source, edge.target): edge.exact_effect for edge in scored}
    return torch.tensor([measured.get(pair) or 0.0 for pair in ends])


def _key(node_id: str) -> tuple[Site, int, int]:
    site, position, feature = parse_node_id(node_id)
    return site, position, ERROR if feature is None else feature


def _tables(nodes: Sequence[tuple[Site, int, int]]) -> dict[Site, NodeTable]:
    by_site: dict[Site, list[list[int]]] = {}
    for site, position, feature_id in sorted(set(nodes)):
        by_site.setdefault(site, []).append([position, feature_id])
    columns = {site: torch.tensor(rows).T for site, rows in by_site.items()}
    return {site: NodeTable(position, feature_id) for site, (position, feature_id) in columns.items()}
