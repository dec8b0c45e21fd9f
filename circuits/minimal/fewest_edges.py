"""The fewest edges that keep what is required, by |effect|, in edge-masked runs."""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor

from circuits.effects.edge_effects import ERROR, ScoredEdge
from circuits.evaluation.edge_masked_runs import EdgeSet, NodeKey, edge_masked_metrics
from circuits.minimal.fewest_nodes import smallest_enough
from circuits.minimal.requirement import Requirement
from circuits.runs.ensemble import Ensemble
from circuits.runs.node_set import NodeSet

__all__ = ["edge_metrics", "fewest_edges"]


def fewest_edges(requirement: Requirement, nodes: NodeSet, edges: Sequence[ScoredEdge]) -> list[ScoredEdge] | None:
    """The strongest edges among features that are enough together; None where all of them are not.

    Args:
        requirement: What is to be kept.
        nodes: At places.
        edges: Among them; those with an error at an end are passed over.
    """
    among = [edge for edge in edges if ERROR not in (edge.source[2], edge.target[2])]
    ranked = sorted(among, key=lambda edge: -abs(edge.effect))

    def is_enough(n: int) -> bool:
        kept = requirement.of_metrics(edge_metrics(requirement.ensemble, nodes, ranked[:n])[None])
        return kept.item() > requirement.wanted

    n_edges = smallest_enough(is_enough, len(ranked))
    return None if n_edges is None else ranked[:n_edges]


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
