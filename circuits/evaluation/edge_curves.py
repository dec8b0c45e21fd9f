"""CPR and CMD of the edges among a circuit's features, by edge-masked runs on the scale of the circuit's own nodes.

All edges among the features are ranked, not only those that the circuit lists; with all of them the run is the
node-masked run of the circuit, so the curve ends at the circuit's faithfulness, not at 1. Errors are at their baseline.
"""

from collections.abc import Sequence
from typing import Any

from jaxtyping import Float
from torch import Tensor

from circuits.effects.edge_effects import ScoredEdge
from circuits.effects.ensemble_effects import EnsembleEffects, ensemble_edges
from circuits.effects.node_table import NodeTable
from circuits.evaluation.areas import SHARES, cmd, cpr, sizes_of_shares
from circuits.evaluation.edge_masked_runs import EdgeSet, NodeKey, edge_masked_metrics
from circuits.evaluation.scale import Scale
from circuits.graph.circuit import Circuit
from circuits.runs.ensemble import Ensemble
from circuits.runs.node_set import NodeSet

__all__ = ["measure_edges"]

Pair = tuple[NodeKey, NodeKey]


def measure_edges(
    ensemble: Ensemble, effects: EnsembleEffects, circuit: Circuit, nodes: NodeSet, scale: Scale
) -> dict[str, Any] | None:
    """Run the circuit's edges, and the ranking of all edges among its features cut at every share.

    Args:
        ensemble: The runs.
        effects: Of all nodes.
        circuit: What was found.
        nodes: Its features.
        scale: Of node-masked runs.

    Returns:
        For the record; None where no edge runs among the features.
    """
    tables = {site: NodeTable(position, feature_id) for site, (position, feature_id) in nodes.nodes.items()}
    edges = ensemble_edges(ensemble, effects, tables)
    if not edges:
        return None
    absolute = _pairs(edges)
    signed = _pairs(sorted(edges, key=lambda edge: edge.effect * scale.gap))
    listed = {(edge.source, edge.target) for edge in circuit.edges}
    own = [pair for pair in absolute if (_name(pair[0]), _name(pair[1])) in listed]
    grid = sizes_of_shares(len(edges))
    asked = [own, *(order[:n] for order in (signed, absolute) for n in grid)]
    metrics = _metrics(ensemble, nodes, asked)
    by_sign, by_size = metrics[1 : 1 + len(grid)], metrics[1 + len(grid) :]
    points = zip(SHARES, grid, by_sign, by_size, strict=True)
    return {
        "n_edges": len(edges),
        "circuit": {"n_edges": len(own), "faithfulness": scale.estimate(metrics[:1]).to_json()},
        "cpr": scale.estimate(by_sign, cpr).to_json(),
        "cmd": scale.estimate(by_size, cmd).to_json(),
        "grid": [
            {
                "share": share,
                "n_edges": n,
                "signed": scale.estimate(up[None]).to_json(),
                "absolute": scale.estimate(size[None]).to_json(),
            }
            for share, n, up, size in points
        ],
    }


def _pairs(edges: Sequence[ScoredEdge]) -> list[Pair]:
    return [(edge.source, edge.target) for edge in edges]


def _name(node: NodeKey) -> str:
    site, position, feature_id = node
    return f"{site}/{feature_id}@{position}"


def _metrics(ensemble: Ensemble, nodes: NodeSet, edge_sets: Sequence[Sequence[Pair]]) -> Float[Tensor, "sets units"]:
    per_run = []
    for index, runs in enumerate(ensemble.runs):
        own = ensemble.of_run(index, nodes)
        placed = [EdgeSet(own, _at_positions(ensemble, index, edges)) for edges in edge_sets]
        per_run.append(edge_masked_metrics(runs, placed))
    return ensemble.over_units(per_run)


def _at_positions(ensemble: Ensemble, index: int, edges: Sequence[Pair]) -> list[Pair]:
    """Edges between places, as those between their positions in one prompt; none runs to an earlier token."""
    if ensemble.is_lone:
        return list(edges)
    place_of = ensemble.places.of_position[index]
    positions = [(place_of == place).nonzero()[:, 0].tolist() for place in range(len(ensemble.places.names))]
    return [
        ((source_site, start, source), (site, end, target))
        for (source_site, source_place, source), (site, target_place, target) in edges
        for start in positions[source_place]
        for end in positions[target_place]
        if start <= end
    ]
