"""Block-local edges: how much of a node's effect comes through each node of the sites just before it.

The dictionaries of a block cut every longer path, so an edge needs only the part of the model between two neighbouring
sites. One cut forward pass, in which every site is replaced by a leaf, gives all blocks at once; one batched
vector-Jacobian product for each downstream site gives the edges into all its kept nodes:

    effect(u -> d) = <W_dec[d], dm/dx_d> * slope_d * <W_enc[d], (dx_d/dx_u) W_dec[u]> * (f_u[baseline] - f_u[clean])

`slope_d` is the slope of the JumpReLU between the clean and the baseline pre-activation, so that a feature which
switches on or off has edges too; where the block is linear the edges into a node then sum to its own effect.

Source: Marks et al. 2024 (arXiv 2403.19647), section 3.1 and appendix A.1. Differs from it: a slope in place of the
derivative at the clean run, and no pass of the whole model for each pair of sites.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from circuits.effects.node_effects import NodeEffects
from circuits.runs.dictionaries import Dictionary, decoder_rows_of, encoder_rows_of
from circuits.runs.runs import Runs
from sae.host.passes import CutGraph
from sae.host.sites import Site

__all__ = ["ERROR", "NodeTable", "ScoredEdge", "score_edges"]

ERROR = -1
"""Feature id that stands for the error node of a position."""

TARGETS_PER_PASS = 64


@dataclass(frozen=True)
class NodeTable:
    """Nodes of one site, feature and error nodes mixed."""

    position: Int[Tensor, " nodes"]
    feature_id: Int[Tensor, " nodes"]
    """`ERROR` for an error node."""


@dataclass(frozen=True)
class ScoredEdge:
    """An edge between two (site, position, feature) nodes; its effect is in units of the metric."""

    source: tuple[Site, int, int]
    target: tuple[Site, int, int]
    effect: float


def score_edges(
    runs: Runs, effects: NodeEffects, nodes: dict[Site, NodeTable], *, threshold: float = 0.0
) -> list[ScoredEdge]:
    """Edges among the given nodes with |effect| above `threshold`, strongest first."""
    sites = runs.sites
    batch = runs.host.batch([runs.behaviour.prompt_ids])
    graph = runs.host.cut_graph(batch, sites)
    changes = {site: _changes(runs, site, table) for site, table in nodes.items()}
    edges: list[ScoredEdge] = []
    for target, table in nodes.items():
        parents = [site for site in runs.host.parents(target, sites) if site in nodes]
        if not parents:
            continue
        rows = _cotangents(runs, effects, target, table)
        for source, jacobian in _pull_back(graph, target, parents, rows).items():
            effect = torch.einsum("kud,ud->ku", jacobian[:, nodes[source].position], changes[source])
            edges += _above(effect, (source, nodes[source]), (target, table), threshold)
    return sorted(edges, key=lambda edge: -abs(edge.effect))


def _changes(runs: Runs, site: Site, table: NodeTable) -> Float[Tensor, "nodes d_model"]:
    """What setting each node to its baseline adds to the stream, averaged over the references."""
    dictionary, clean = runs.dictionaries[site], runs.clean_features[site]
    is_feature = table.feature_id != ERROR
    feature_ids, column = table.feature_id.clamp(min=0).unique(return_inverse=True)
    base_acts = runs.baseline.features[site].columns(feature_ids).mean(dim=0)
    delta = (base_acts - clean.columns(feature_ids)[0])[table.position, column]
    of_features = delta[:, None] * decoder_rows_of(dictionary, table.feature_id.clamp(min=0))
    return torch.where(is_feature[:, None], of_features, _error_change(runs, site)[table.position])


def _error_change(runs: Runs, site: Site) -> Float[Tensor, "seq d_model"]:
    dictionary = runs.dictionaries[site]
    clean = runs.clean[site][0, : runs.n_positions]
    base_errors = [runs.baseline_error(site, r) for r in range(runs.baseline.n_references)]
    return torch.stack(base_errors).mean(dim=0) - (clean - dictionary.decode(dictionary.encode(clean)))


def _cotangents(runs: Runs, effects: NodeEffects, site: Site, table: NodeTable) -> Float[Tensor, "nodes seq d_model"]:
    """Derivative of m by the stream at `site`, through each node alone."""
    dictionary, gradient = runs.dictionaries[site], effects[site].gradient
    at_node = gradient[table.position]
    slopes = _slopes(runs, site, table.position.unique())
    rows = torch.empty_like(at_node)
    for k, (position, feature_id) in enumerate(zip(table.position.tolist(), table.feature_id.tolist(), strict=True)):
        slope = slopes[position]
        if feature_id == ERROR:
            rows[k] = at_node[k] - _through_features(dictionary, slope, at_node[k])
        else:
            one = torch.tensor([feature_id], device=gradient.device)
            weight = (decoder_rows_of(dictionary, one)[0] @ at_node[k]) * slope[feature_id]
            rows[k] = weight * encoder_rows_of(dictionary, one)[0]
    cotangents = gradient.new_zeros(len(rows), *gradient.shape)
    cotangents[torch.arange(len(rows)), table.position] = rows
    return cotangents


def _slopes(runs: Runs, site: Site, positions: Int[Tensor, " chosen"]) -> dict[int, Float[Tensor, " d_sae"]]:
    """Slope of each feature's nonlinearity between clean and baseline, averaged over the references."""
    dictionary = runs.dictionaries[site]
    slopes = {}
    for position in positions.tolist():
        clean = runs.clean[site][0, position]
        base = runs.baseline.activations[site][:, position]
        moved = dictionary.pre_acts(base) - dictionary.pre_acts(clean)
        secant = (dictionary.encode(base) - dictionary.encode(clean)) / torch.where(moved == 0, 1, moved)
        slopes[position] = torch.where(moved == 0, (dictionary.encode(clean) != 0).to(moved), secant).mean(dim=0)
    return slopes


def _through_features(
    dictionary: Dictionary, slope: Float[Tensor, " d_sae"], gradient: Float[Tensor, " d_model"]
) -> Float[Tensor, " d_model"]:
    """The part of a stream derivative that runs through the dictionary; what is left runs through its error."""
    active = slope.nonzero()[:, 0]
    weights = slope[active] * (decoder_rows_of(dictionary, active) @ gradient)
    return weights @ encoder_rows_of(dictionary, active)


def _pull_back(graph: CutGraph, target: Site, parents: list[Site], cotangents: Tensor) -> dict[Site, Tensor]:
    """Vector-Jacobian products of every cotangent to the parents' leaves, a few targets at a time."""
    parts = [
        torch.autograd.grad(
            graph.inputs[target],
            [graph.leaves[site] for site in parents],
            rows[:, None],
            is_grads_batched=True,
            retain_graph=True,
        )
        for rows in cotangents.split(TARGETS_PER_PASS)
    ]
    return {site: torch.cat([part[i][:, 0] for part in parts]) for i, site in enumerate(parents)}


def _above(
    effect: Float[Tensor, "targets sources"],
    source: tuple[Site, NodeTable],
    target: tuple[Site, NodeTable],
    threshold: float,
) -> list[ScoredEdge]:
    def node(side: tuple[Site, NodeTable], i: int) -> tuple[Site, int, int]:
        site, table = side
        return site, int(table.position[i]), int(table.feature_id[i])

    kept = (effect.abs() > threshold).nonzero().tolist()
    return [ScoredEdge(node(source, u), node(target, k), effect[k, u].item()) for k, u in kept]
