"""Edges measured: one source node at its baseline, and what the nodes of the next sites really do.

    effect(u -> d) = <W_dec[d], dm/dx_d> * (f_d[after] - f_d[clean])           for a feature d
    effect(u -> d) = <dm/dx_d, error_d[after] - error_d[clean]>                for an error d

where `after` sets u to its baseline and holds every other site at its clean value: the model runs from u's site to the
targets only, one row a source and reference, all targets read off it, and features switch on and off as they will.
Where the block is a sum nothing runs.

Source: Marks et al. 2024 (arXiv 2403.19647), section 3.1, estimate this change by its first order; here it is measured.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from circuits.effects.node_effects import NodeEffects
from circuits.effects.node_table import NodeTable, node_changes
from circuits.effects.target_rows import feature_weights
from circuits.runs.dictionaries import Dictionary, decoder_rows_of
from circuits.runs.runs import Runs
from sae.host.blocks import block_between
from sae.host.passes import CutGraph
from sae.host.sites import Site

__all__ = ["exact_effects"]

ENTRIES_PER_CHUNK = 1 << 24
"""Most dense feature activations at a time."""


@dataclass(frozen=True)
class _Measurement:
    """What one source site is measured by."""

    runs: Runs
    effects: NodeEffects
    nodes: Mapping[Site, NodeTable]
    clean: Mapping[Site, Float[Tensor, "seq d_model"]]
    """What arrives at each site in the clean run, and at what transcoders encode."""


def exact_effects(
    runs: Runs, effects: NodeEffects, nodes: Mapping[Site, NodeTable], graph: CutGraph
) -> dict[tuple[Site, Site], Float[Tensor, "targets sources"]]:
    """Measured effects of all edges among the nodes, by (source site, target site), averaged over the references."""
    clean = {site: x[0].detach() for site, x in graph.inputs.items()}
    measurement = _Measurement(runs, effects, nodes, clean)
    children: dict[Site, list[Site]] = {}
    for target in nodes:
        for source in runs.host.parents(target, runs.sites):
            children.setdefault(source, []).append(target)
    found: dict[tuple[Site, Site], Tensor] = {}
    for source, targets in children.items():
        if source in nodes:
            found |= {(source, target): effect for target, effect in _from_source(measurement, source, targets).items()}
    return found


def _from_source(m: _Measurement, source: Site, targets: list[Site]) -> dict[Site, Float[Tensor, "targets sources"]]:
    changes = node_changes(m.runs, source, m.nodes[source])
    n_references, n_sources = changes.shape[:2]
    summed = {target: changes.new_zeros(len(m.nodes[target].position), n_sources) for target in targets}
    rows = torch.arange(n_references * n_sources, device=changes.device)
    for some in rows.split(m.runs.rows_per_pass()):
        change, node = changes.flatten(0, 1)[some], some % n_sources
        arrived = _arrivals(m, source, targets, m.nodes[source].position[node], change)
        for target in targets:
            effect = _target_changes(m, source, target, node, arrived)
            summed[target].index_add_(1, node, effect)
    return {target: effect / n_references for target, effect in summed.items()}


def _arrivals(
    m: _Measurement,
    source: Site,
    targets: list[Site],
    position: Int[Tensor, " rows"],
    change: Float[Tensor, "rows d_model"],
) -> dict[Site, Float[Tensor, "rows seq d_model"]]:
    """What arrives where the targets' nodes read, with one node of `source` changed in each row."""
    runs, host, n_rows = m.runs, m.runs.host, len(position)

    def changed(site: Site) -> Float[Tensor, "rows seq d_model"]:
        x = m.clean[site].repeat(n_rows, 1, 1)
        x[torch.arange(n_rows, device=x.device), position] += change
        return x

    read = {site for target in targets for site in (target, runs.input_sites[target])}
    sums = {site for site in read if site > source and block_between(source, site, runs.sites, host.family).is_sum}
    arrived = {site: changed(site) for site in sums}
    if run := {site for site in read - sums if source in host.parents(site, runs.sites)}:
        stream = max((site for site in runs.sites if site < source and site.kind == "resid_post"), default=source)
        held = {site: m.clean[site][None] for site in runs.sites if site >= stream}
        batch = host.batch([runs.behaviour.prompt_ids]).repeat(n_rows)
        arrived |= host.arrivals(batch, {**held, source: changed(source)}, run)
    return arrived


def _target_changes(
    m: _Measurement,
    source: Site,
    target: Site,
    node: Int[Tensor, " rows"],
    arrived: Mapping[Site, Float[Tensor, "rows seq d_model"]],
) -> Float[Tensor, "targets rows"]:
    """How far m follows each target in each row; only pairs that the source can reach are looked at."""
    runs, table, gradient = m.runs, m.nodes[target], m.effects[target].gradient
    block = block_between(source, target, runs.sites, runs.host.family)
    position = m.nodes[source].position[node]
    reach = torch.le if block.has_attention else torch.eq
    index, row = reach(position[None], table.position[:, None]).nonzero(as_tuple=True)
    before, after = {}, {}
    for site in {target, runs.input_sites[target]}:
        clean = m.clean[site][table.position[index]]
        before[site] = clean
        after[site] = arrived[site][row, table.position[index]] if site in arrived else clean
    pairs = NodeTable(table.position[index], table.feature_id[index])
    change = _node_values(runs, target, pairs, gradient, after) - _node_values(runs, target, pairs, gradient, before)
    effect = gradient.new_zeros(len(table.position), len(node))
    effect[index, row] = change
    return effect


def _node_values(
    runs: Runs,
    site: Site,
    pairs: NodeTable,
    gradient: Float[Tensor, "seq d_model"],
    x: Mapping[Site, Float[Tensor, "pairs d_model"]],
) -> Float[Tensor, " pairs"]:
    """What m makes of each node where these activations arrive, up to a constant."""
    dictionary, encoded = runs.dictionaries[site], x[runs.input_sites[site]]
    values, is_error = gradient.new_zeros(len(pairs.position)), pairs.is_error
    features = NodeTable(pairs.position[~is_error], pairs.feature_id[~is_error])
    feature_ids, column = features.columns()
    acts = dictionary.encode_features(encoded[~is_error], feature_ids).gather(1, column[:, None])[:, 0]
    values[~is_error] = acts * feature_weights(dictionary, features, gradient)
    at_errors = gradient[pairs.position[is_error]]
    own = (x[site][is_error] * at_errors).sum(dim=-1)
    values[is_error] = own - _reconstruction_value(dictionary, encoded[is_error], at_errors)
    return values


def _reconstruction_value(
    dictionary: Dictionary, x: Float[Tensor, "pairs d_model"], gradient: Float[Tensor, "pairs d_model"]
) -> Float[Tensor, " pairs"]:
    """<decode(encode(x)) - b_dec, gradient> of each pair."""
    size = max(1, ENTRIES_PER_CHUNK // dictionary.d_sae)
    parts = [gradient.new_zeros(0)]
    for some, along in zip(x.split(size), gradient.split(size), strict=True):
        acts = dictionary.encode(some)
        active = acts.any(dim=0).nonzero()[:, 0]
        parts.append(((acts[:, active] @ decoder_rows_of(dictionary, active)) * along).sum(dim=-1))
    return torch.cat(parts)
