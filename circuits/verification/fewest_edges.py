"""The fewest edges that keep what is required, by |effect|, in edge-masked runs.

What the strongest edges keep does not rise steadily with their number, so growing numbers are tried, and halved in
between once one is enough. What is returned was measured as enough.
"""

from collections.abc import Sequence
from itertools import pairwise
from math import ceil

from jaxtyping import Float
from torch import Tensor

from circuits.effects.edge_effects import ScoredEdge
from circuits.evaluation.edge_masked_runs import EdgeSet, NodeKey, edge_masked_metrics
from circuits.runs.ensemble import Ensemble
from circuits.runs.node_set import NodeSet
from circuits.verification.requirement import Requirement
from circuits.verification.starting_nodes import smallest_enough

__all__ = ["edge_metrics", "fewest_edges"]

GROWTH = 1.5
"""From one number of edges that is tried to the next."""


def fewest_edges(requirement: Requirement, nodes: NodeSet, edges: Sequence[ScoredEdge]) -> list[ScoredEdge] | None:
    """The strongest edges among features that are enough together; None where no number of them that is tried is.

    Args:
        requirement: What is to be kept.
        nodes: At places.
        edges: Among them, none with an error at an end.
    """
    ranked = sorted(edges, key=lambda edge: -abs(edge.effect))

    def is_enough(n: int) -> bool:
        kept = requirement.of_metrics(edge_metrics(requirement.ensemble, nodes, ranked[:n])[None])
        return kept.item() > requirement.wanted

    if is_enough(0):
        return []
    for below, most in pairwise(_numbers(len(ranked))):
        if is_enough(most):
            return ranked[: smallest_enough(is_enough, below, most)]
    return None


def edge_metrics(ensemble: Ensemble, nodes: NodeSet, edges: Sequence[ScoredEdge]) -> Float[Tensor, " units"]:
    """m of nodes and edges at places in each unit.

    Args:
        ensemble: Aligned prompts, or a lone one.
        nodes: At places.
        edges: Among them; each stands for those between all positions of its two places.
    """
    per_run = []
    for index, runs in enumerate(ensemble.runs):
        own = [pair for edge in edges for pair in _at_positions(ensemble, index, edge)]
        per_run.append(edge_masked_metrics(runs, [EdgeSet(ensemble.of_run(index, nodes), own)]))
    return ensemble.over_units(per_run)[0]


def _numbers(n_edges: int) -> list[int]:
    """0, 1 and so on in growing steps, to all."""
    grown = [0, 1]
    while grown[-1] < n_edges:
        grown.append(ceil(GROWTH * grown[-1]))
    return sorted({min(n, n_edges) for n in grown})


def _at_positions(ensemble: Ensemble, index: int, edge: ScoredEdge) -> list[tuple[NodeKey, NodeKey]]:
    if ensemble.is_lone:
        return [(edge.source, edge.target)]
    place_of = ensemble.places.of_position[index]
    (source_site, source, source_id), (site, target, target_id) = edge.source, edge.target
    return [
        ((source_site, upstream, source_id), (site, downstream, target_id))
        for upstream in (place_of == source).nonzero()[:, 0].tolist()
        for downstream in (place_of == target).nonzero()[:, 0].tolist()
        if upstream <= downstream
    ]
