"""Block-local edges: how much of a node's effect comes through each node of the sites just before it.

The dictionaries of a block cut every longer path, so an edge needs only the part of the model between two neighbouring
sites. One cut forward pass, in which every site is replaced by a leaf, gives all blocks at once, and what lies between
two sites decides what an edge costs:

    effect(u -> d) = <W_dec[d], dm/dx_d> * slope_d * <W_enc[d], (dx_d/dx_u) W_dec[u]> * (f_u[baseline] - f_u[clean])

- a sum, as into `resid_post` where attention and MLP are cut: dx_d/dx_u is the identity, no pass at all;
- an MLP: one vector-Jacobian product for as many targets as there are positions, since tokens do not mix;
- attention: one product a target, batched; a second one with the pattern held gives the part that runs through values.

`slope_d` is the slope of the JumpReLU between the clean and the baseline pre-activation, so that a feature which
switches on or off has edges too; where the block is linear the edges into a node then sum to its own effect.

Source: Marks et al. 2024 (arXiv 2403.19647), section 3.1 and appendix A.1. Differs from it: a slope in place of the
derivative at the clean run, and no pass of the whole model for each pair of sites.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from circuits.effects.exact_edges import exact_effects
from circuits.effects.node_effects import NodeEffects
from circuits.effects.node_table import ERROR, NodeTable, node_changes
from circuits.effects.target_rows import target_rows
from circuits.runs.runs import Runs
from sae.host.blocks import block_between
from sae.host.passes import CutGraph
from sae.host.sites import Site

__all__ = ["ERROR", "NodeTable", "ScoredEdge", "score_edges"]

ROWS_PER_PRODUCT = 64

PairEffects = dict[tuple[Site, Site], Float[Tensor, "targets sources"]]
"""Effects among nodes, by source site and target site."""


@dataclass(frozen=True)
class ScoredEdge:
    """An edge between two (site, position, feature) nodes; effects are in units of the metric."""

    source: tuple[Site, int, int]
    target: tuple[Site, int, int]
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
    nodes: dict[Site, NodeTable],
    *,
    threshold: float = 0.0,
    exact: bool = False,
    attention_paths: bool = True,
) -> list[ScoredEdge]:
    """Edges among the given nodes, strongest first.

    Args:
        runs: Clean and baseline runs.
        effects: Of their nodes.
        nodes: Ends of the edges.
        threshold: Keep edges with |effect| above this.
        exact: Measure every edge besides, see `exact_edges`.
        attention_paths: Take the edges through attention apart.
    """
    batch = runs.host.batch([runs.behaviour.prompt_ids])
    graph = runs.host.cut_graph(batch, runs.sites, input_sites=runs.input_sites.values())
    linear = _linear_effects(runs, effects, nodes, graph)
    measured = exact_effects(runs, effects, nodes, graph) if exact else {}
    by_value: PairEffects = {}
    if attention_paths and any(_has_attention(runs, *pair) for pair in linear):
        graph = runs.host.cut_graph(batch, runs.sites, input_sites=runs.input_sites.values(), frozen_attention=True)
        by_value = _linear_effects(runs, effects, nodes, graph, attention_only=True)
    edges = [
        edge
        for pair, effect in linear.items()
        for edge in _above(pair, nodes, threshold, effect, measured.get(pair), by_value.get(pair))
    ]
    return sorted(edges, key=lambda edge: -abs(edge.effect))


def _has_attention(runs: Runs, source: Site, target: Site) -> bool:
    return block_between(source, target, runs.sites, runs.host.family).has_attention


def _linear_effects(
    runs: Runs, effects: NodeEffects, nodes: Mapping[Site, NodeTable], graph: CutGraph, *, attention_only: bool = False
) -> PairEffects:
    changes = {site: node_changes(runs, site, table).mean(dim=0) for site, table in nodes.items()}
    found: PairEffects = {}
    for target, table in nodes.items():
        parents = [site for site in runs.host.parents(target, runs.sites) if site in nodes]
        if attention_only:
            parents = [site for site in parents if _has_attention(runs, site, target)]
        if not parents:
            continue
        rows = target_rows(runs, target, table, effects[target].gradient)
        for source, effect in _into(runs, graph, target, table, rows, {site: nodes[site] for site in parents}, changes):
            found[source, target] = effect
    return found


def _into(
    runs: Runs,
    graph: CutGraph,
    target: Site,
    table: NodeTable,
    rows: dict[Site, Float[Tensor, "targets d_model"]],
    sources: Mapping[Site, NodeTable],
    changes: Mapping[Site, Float[Tensor, "_ d_model"]],
) -> list[tuple[Site, Float[Tensor, "targets _"]]]:
    """Effects of the nodes of each source site on the nodes of one target site."""
    blocks = {site: block_between(site, target, runs.sites, runs.host.family) for site in sources}
    sums = [site for site, block in blocks.items() if block.is_sum and len(rows) == 1]
    mixing = [site for site, block in blocks.items() if block.has_attention]
    within = [site for site in sources if site not in sums and site not in mixing]
    own = dict.fromkeys(sums, rows[target]) | _pulled_within(graph, within, rows, table.position)
    found = []
    for site, row in own.items():
        same = table.position[:, None] == sources[site].position[None]
        found.append((site, (row @ changes[site].T) * same))
    for site, jacobian in _pulled_back(graph, mixing, _spread(graph, rows, table.position)).items():
        found.append((site, torch.einsum("kud,ud->ku", jacobian[:, sources[site].position], changes[site])))
    return found


def _spread(
    graph: CutGraph,
    rows: Mapping[Site, Float[Tensor, "targets d_model"]],
    position: Int[Tensor, " targets"],
    slot: Int[Tensor, " targets"] | None = None,
) -> dict[Site, Float[Tensor, "slots seq d_model"]]:
    """Rows at their positions, each in its own slot unless told otherwise."""
    slot = torch.arange(len(position), device=position.device) if slot is None else slot
    spread = {}
    for site, row in rows.items():
        spread[site] = row.new_zeros(int(slot.max()) + 1, *graph.inputs[site].shape[1:])
        spread[site][slot, position] = row
    return spread


def _pulled_within(
    graph: CutGraph,
    sources: list[Site],
    rows: Mapping[Site, Float[Tensor, "targets d_model"]],
    position: Int[Tensor, " targets"],
) -> dict[Site, Float[Tensor, "targets d_model"]]:
    """Products where tokens do not mix: targets at different positions share a slot."""
    same_before = (position[:, None] == position[None]).tril(-1)
    slot = same_before.sum(dim=1)
    pulled = _pulled_back(graph, sources, _spread(graph, rows, position, slot))
    return {site: jacobian[slot, position] for site, jacobian in pulled.items()}


def _pulled_back(
    graph: CutGraph, sources: list[Site], cotangents: Mapping[Site, Float[Tensor, "slots seq d_model"]]
) -> dict[Site, Float[Tensor, "slots seq d_model"]]:
    """Vector-Jacobian products of every slot to the sources' leaves, a few at a time."""
    if not sources:
        return {}
    parts = [
        torch.autograd.grad(
            [graph.inputs[site] for site in cotangents],
            [graph.leaves[site] for site in sources],
            [rows[:, None] for rows in some],
            is_grads_batched=True,
            retain_graph=True,
        )
        for some in zip(*(rows.split(ROWS_PER_PRODUCT) for rows in cotangents.values()), strict=True)
    ]
    return {site: torch.cat([part[i][:, 0] for part in parts]) for i, site in enumerate(sources)}


def _above(
    pair: tuple[Site, Site],
    nodes: Mapping[Site, NodeTable],
    threshold: float,
    effect: Float[Tensor, "targets sources"],
    exact: Float[Tensor, "targets sources"] | None,
    value: Float[Tensor, "targets sources"] | None,
) -> list[ScoredEdge]:
    target, source = (effect.abs() > threshold).nonzero(as_tuple=True)

    def column(numbers: Tensor | None) -> list[float | None]:
        return [None] * len(target) if numbers is None else numbers[target, source].tolist()

    rest = None if value is None else effect - value
    numbers = zip(*(column(part) for part in (effect, exact, value, rest)), strict=True)
    ends = zip(_keys(pair[0], nodes, source), _keys(pair[1], nodes, target), strict=True)
    return [ScoredEdge(*both, *found) for both, found in zip(ends, numbers, strict=True)]


def _keys(site: Site, nodes: Mapping[Site, NodeTable], index: Int[Tensor, " chosen"]) -> list[tuple[Site, int, int]]:
    table = nodes[site]
    pairs = zip(table.position[index].tolist(), table.feature_id[index].tolist(), strict=True)
    return [(site, position, feature_id) for position, feature_id in pairs]
