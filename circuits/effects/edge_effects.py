"""Block-local edges: how much of a node's effect comes through each node of the sites just before it.

The dictionaries of a block cut every longer path, so an edge needs only the part of the model between two neighbouring
sites, and what lies there decides what it costs:

    effect(u -> d) = <W_dec[d], dm/dx_d> * slope_d * <W_enc[d], (dx_d/dx_u) W_dec[u]> * (f_u[baseline] - f_u[clean])

- a sum, as into `resid_post` where attention and MLP are cut: dx_d/dx_u is the identity, nothing runs;
- an MLP: one backward pass on the targets' tokens alone, since tokens do not mix;
- attention: its closed form, which also takes apart what runs through values and what moves the pattern;
- several layers, where only some have dictionaries: one backward pass of them for each target.

`slope_d` is the slope of the JumpReLU between the clean and the baseline pre-activation, so that a feature which
switches on or off has edges too; where the block is linear the edges into a node then sum to its own effect.

Source: Marks et al. 2024 (arXiv 2403.19647), section 3.1 and appendix A.1. Differs from it: a slope in place of the
derivative at the clean run, and no pass of the whole model for each pair of sites.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor

from circuits.effects.exact_edges import exact_effects
from circuits.effects.gap_edges import gap_effects
from circuits.effects.layer_edges import layer_effects
from circuits.effects.linear_effect import EdgeSource, EdgeTarget, LinearEffect
from circuits.effects.node_effects import NodeEffects
from circuits.effects.node_table import ERROR, NodeTable, node_changes
from circuits.effects.target_rows import target_rows
from circuits.runs.runs import Runs
from sae.host.blocks import block_between
from sae.host.open_layers import stream_into
from sae.host.sites import Site

__all__ = ["ERROR", "NodeTable", "ScoredEdge", "edge_effects", "score_edges"]

Key = tuple[Site, int, int]
"""Site, position and feature of a node."""


class ScoredEdge(NamedTuple):
    """An edge between two (site, position, feature) nodes; effects are in units of the metric."""

    source: Key
    target: Key
    effect: float
    exact_effect: float | None = None
    """Measured; None where it was not."""
    value_effect: float | None = None
    """The part of `effect` that leaves attention patterns as they are; None where no attention lies between."""
    query_key_effect: float | None = None
    """The rest of `effect`, which moves patterns."""


def score_edges(
    runs: Runs,
    effects: NodeEffects,
    nodes: Mapping[Site, NodeTable],
    *,
    threshold: float = 0.0,
    exact: bool = False,
) -> list[ScoredEdge]:
    """Edges among the given nodes, strongest first.

    Args:
        runs: Clean and baseline runs.
        effects: Of their nodes.
        nodes: Ends of the edges.
        threshold: Keep edges with |effect| above this.
        exact: Measure every edge besides, see `exact_edges`.
    """
    linear = edge_effects(runs, effects, nodes)
    measured = _measured(runs, effects, nodes) if exact else {}
    keys = {site: table.keys(site) for site, table in nodes.items()}
    edges = [
        edge
        for pair, effect in linear.items()
        for edge in _above(threshold, keys[pair[0]], keys[pair[1]], effect, measured.get(pair))
    ]
    return sorted(edges, key=lambda edge: -abs(edge.effect))


def edge_effects(
    runs: Runs, effects: NodeEffects, nodes: Mapping[Site, NodeTable]
) -> dict[tuple[Site, Site], LinearEffect]:
    """Linear effects of all edges among the nodes, by (source site, target site)."""
    near: list[EdgeTarget] = []
    far: list[EdgeTarget] = []
    for target in _targets(runs, effects, nodes):
        (near if min(target.sources) >= stream_into(target.site.layer or 0) else far).append(target)
    found = {}
    if near:
        layers = runs.host.open_layers(runs.host.batch([runs.behaviour.prompt_ids]))
        streams = _streams(runs, {stream_into(target.site.layer or 0) for target in near})
        for target in near:
            layer = target.site.layer or 0
            for source, effect in layer_effects(runs, layers[layer], streams[stream_into(layer)], target).items():
                found[source, target.site] = effect
    return found | gap_effects(runs, far)


def _targets(runs: Runs, effects: NodeEffects, nodes: Mapping[Site, NodeTable]) -> Iterable[EdgeTarget]:
    changes = {site: node_changes(runs, site, table).mean(dim=0) for site, table in nodes.items()}
    for site, table in nodes.items():
        sources = {
            source: EdgeSource(
                nodes[source], changes[source], block_between(source, site, runs.sites, runs.host.family)
            )
            for source in runs.host.parents(site, runs.sites)
            if source in nodes
        }
        if sources:
            yield EdgeTarget(site, table, target_rows(runs, site, table, effects[site].gradient), sources)


def _streams(runs: Runs, sites: set[Site]) -> dict[Site, Float[Tensor, "seq d_model"]]:
    """What the clean run has at some sites, whether or not they have dictionaries."""
    unknown = sites - set(runs.clean)
    captured = runs.host.capture(runs.host.batch([runs.behaviour.prompt_ids]), unknown) if unknown else {}
    known = {**captured, **runs.clean}
    return {site: known[site][0, : runs.n_positions].float() for site in sites}


def _measured(
    runs: Runs, effects: NodeEffects, nodes: Mapping[Site, NodeTable]
) -> dict[tuple[Site, Site], Float[Tensor, "targets sources"]]:
    batch = runs.host.batch([runs.behaviour.prompt_ids])
    graph = runs.host.cut_graph(batch, runs.sites, input_sites=runs.input_sites.values())
    return exact_effects(runs, effects, nodes, graph)


def _above(
    threshold: float,
    sources: list[Key],
    targets: list[Key],
    effect: LinearEffect,
    exact: Float[Tensor, "targets sources"] | None,
) -> list[ScoredEdge]:
    chosen = (effect.total.abs() > threshold).nonzero(as_tuple=True)
    rest = None if effect.by_value is None else effect.total - effect.by_value

    def column(numbers: Tensor | None) -> list[float | None]:
        return [None] * len(chosen[0]) if numbers is None else numbers[chosen].tolist()

    target, source = (index.tolist() for index in chosen)
    ends = [sources[i] for i in source], [targets[i] for i in target]
    return list(map(ScoredEdge, *ends, *(column(part) for part in (effect.total, exact, effect.by_value, rest))))
