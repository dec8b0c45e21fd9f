"""What a set of edges does by itself: edge-masked runs.

In a masked run of nodes every node sees the same stream. Here each node d sees a stream of its own: from every parent
site u what d's edges bring, and the baseline for the rest, all errors included,

    x_u seen by d = x_u[baseline] + sum over edges (u, f) -> d of (f[now] - f[baseline]) * W_dec[f]

and d's activation now is its encoder on what the block makes of those streams. Nodes of a site without parents see the
clean prompt. The answer sees every node of the circuit: what stands before the logits is not an edge among nodes. So
all edges among a set of nodes are the node-masked run of that set, and nodes that no edge reaches do nothing.

Source: Hanna, Pezzelle and Belinkov 2024 (arXiv 2403.17806) evaluate sets of edges by patching each component's input.
Differs from it: the components are features, their inputs streams at sites. Marks et al. 2024 (arXiv 2403.19647) score
edges between features and do not evaluate them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from circuits.effects.node_table import ERROR
from circuits.runs.dictionaries import decoder_rows_of
from circuits.runs.node_set import NodeSet
from circuits.runs.runs import Runs
from sae.host.sites import Site

__all__ = ["ALL_EDGES", "EdgeSet", "NodeKey", "edge_masked_metrics"]

ALL_EDGES = None
"""Stands for every edge among the nodes of a set."""

NodeKey = tuple[Site, int, int]
"""Site, position and feature of a node."""


@dataclass(frozen=True)
class EdgeSet:
    """Feature nodes and edges among them; edges with an error are none of a set, since errors take their baseline."""

    nodes: NodeSet
    edges: Sequence[tuple[NodeKey, NodeKey]] | None
    """Source and target of each, or `ALL_EDGES`."""


@dataclass(frozen=True)
class _Circuit:
    """An edge set as masks, with the activations found so far."""

    position: Mapping[Site, Int[Tensor, " nodes"]]
    feature_id: Mapping[Site, Int[Tensor, " nodes"]]
    masks: Mapping[tuple[Site, Site], Bool[Tensor, "targets sources"]]
    moved: dict[Site, Float[Tensor, "references nodes"]]
    """How far each node is from its baseline now."""


def edge_masked_metrics(runs: Runs, edge_sets: Sequence[EdgeSet]) -> Float[Tensor, "sets references"]:
    """m of each set of edges under each reference of the baseline.

    Args:
        runs: Clean and baseline runs.
        edge_sets: Nodes and edges of each circuit.

    Raises:
        ValueError: An edge has an end outside its set's nodes, is one of an error, or joins sites of which one is not a
            parent of the other.
    """
    circuits = [_with_masks(runs, edge_set) for edge_set in edge_sets]
    for site in runs.sites:
        _advance(runs, site, [circuit for circuit in circuits if site in circuit.position])
    return torch.stack([_metrics(runs, circuit) for circuit in circuits])


def _with_masks(runs: Runs, edge_set: EdgeSet) -> _Circuit:
    nodes = {site: edge_set.nodes.nodes[site] for site in runs.sites if site in edge_set.nodes.nodes}
    masks = {}
    for target, (position, _) in nodes.items():
        for source in runs.host.parents(runs.input_sites[target], runs.sites):
            if source in nodes:
                shape = len(position), len(nodes[source][0])
                masks[source, target] = torch.full(shape, edge_set.edges is ALL_EDGES, device=position.device)
    index = {
        (site, int(p), int(f)): i
        for site, (position, feature_id) in nodes.items()
        for i, (p, f) in enumerate(zip(position, feature_id, strict=True))
    }
    for upstream, downstream in edge_set.edges or ():
        _check_edge(upstream, downstream, index, masks)
        masks[upstream[0], downstream[0]][index[downstream], index[upstream]] = True
    positions = {site: pair[0] for site, pair in nodes.items()}
    return _Circuit(positions, {site: pair[1] for site, pair in nodes.items()}, masks, {})


def _check_edge(
    source: NodeKey, target: NodeKey, index: Mapping[NodeKey, int], masks: Mapping[tuple[Site, Site], Tensor]
) -> None:
    for site, position, feature_id in (source, target):
        if feature_id == ERROR:
            raise ValueError(f"an edge has the error at {site}@{position} as its end, expected features only; drop it")
        if (site, position, feature_id) not in index:
            raise ValueError(f"an edge ends in {site}/{feature_id}@{position}, expected nodes of the set; add the node")
    if (source[0], target[0]) not in masks:
        raise ValueError(f"an edge joins {source[0]} and {target[0]}, expected a site and one of its parents; drop it")


def _advance(runs: Runs, site: Site, circuits: list[_Circuit]) -> None:
    """Find the activations of one site's nodes in every circuit; those of its parents are known."""
    encoded = runs.input_sites[site]
    parents = runs.host.parents(encoded, runs.sites)
    seen = [_seen(runs, circuit, site, parents) for circuit in circuits]
    if parents and circuits:
        arrived = _arrivals(runs, encoded, [streams for streams, _ in seen])
    else:
        clean = runs.clean[encoded][0, : runs.n_positions]
        arrived = [clean.expand(1, runs.baseline.n_references, -1, -1)] * len(circuits)
    for circuit, (_, slot), x in zip(circuits, seen, arrived, strict=True):
        circuit.moved[site] = _moved(runs, site, circuit, x[slot, :, circuit.position[site]])


def _seen(
    runs: Runs, circuit: _Circuit, site: Site, parents: list[Site]
) -> tuple[dict[Site, Float[Tensor, "patterns references seq d_model"]], Int[Tensor, " nodes"]]:
    """The distinct streams that a site's nodes see at each parent, and which of them each node sees."""
    known = [source for source in parents if source in circuit.position]
    n_nodes = len(circuit.position[site])
    if not known:
        slot = torch.zeros_like(circuit.position[site])
        return {source: _stream(runs, circuit, source, None) for source in parents}, slot
    incoming = torch.cat([circuit.masks[source, site] for source in known], dim=1)
    patterns, slot = incoming.unique(dim=0, return_inverse=True) if n_nodes else (incoming, circuit.position[site])
    parts = dict(zip(known, patterns.split([len(circuit.position[source]) for source in known], dim=1), strict=True))
    streams = {source: _stream(runs, circuit, source, parts.get(source)) for source in parents}
    return {source: x.expand(len(patterns), -1, -1, -1) for source, x in streams.items()}, slot


def _stream(
    runs: Runs, circuit: _Circuit, site: Site, pattern: Bool[Tensor, "patterns nodes"] | None
) -> Float[Tensor, "_ references seq d_model"]:
    """What each pattern of kept nodes lets through of a site; the baseline where there is none."""
    base = runs.baseline.activations[site][None]
    if pattern is not None:
        weight = pattern[:, None] * circuit.moved[site]
        written = weight[..., None] * decoder_rows_of(runs.dictionaries[site], circuit.feature_id[site])
        base = base.repeat(len(pattern), 1, 1, 1).index_add(2, circuit.position[site], written)
    return torch.where(runs.at_nodes[:, None], base, runs.clean[site][0, : runs.n_positions])


def _arrivals(
    runs: Runs, target: Site, seen: list[dict[Site, Float[Tensor, "_ references seq d_model"]]]
) -> list[Float[Tensor, "_ references seq d_model"]]:
    """What the block makes of the streams of all circuits, as rows of one batch."""
    held = {source: torch.cat([streams[source].flatten(0, 1) for streams in seen]) for source in seen[0]}
    n_rows, n_references = len(next(iter(held.values()))), runs.baseline.n_references
    one = runs.host.batch([runs.behaviour.prompt_ids])
    parts = []
    for rows in torch.arange(n_rows).split(runs.rows_per_pass()):
        some = {source: x[rows] for source, x in held.items()}
        parts.append(runs.host.arrivals(one.repeat(len(rows)), some, [target])[target])
    arrived = torch.cat(parts).unflatten(0, (-1, n_references))
    return list(arrived.split([len(next(iter(streams.values()))) for streams in seen]))


def _moved(
    runs: Runs, site: Site, circuit: _Circuit, x: Float[Tensor, "nodes references d_model"]
) -> Float[Tensor, "references nodes"]:
    """How far each node is from its baseline where its encoder reads `x`."""
    feature_ids, column = circuit.feature_id[site].unique(return_inverse=True)
    acts = runs.dictionaries[site].encode_features(x, feature_ids)
    now = acts[torch.arange(len(column)), :, column].T
    return now - runs.baseline.features[site].columns(feature_ids)[:, circuit.position[site], column]


def _metrics(runs: Runs, circuit: _Circuit) -> Float[Tensor, " references"]:
    """m of a circuit whose activations are all known: the answer sees every node."""
    behaviour, n_references = runs.behaviour, runs.baseline.n_references
    streams = {}
    for site in runs.sites:
        every = torch.ones_like(circuit.position[site], dtype=torch.bool)[None] if site in circuit.position else None
        streams[site] = _stream(runs, circuit, site, every)[0]
    parts = []
    for rows in torch.arange(n_references).split(runs.rows_per_pass()):
        batch = runs.batch.repeat(len(rows))
        edits = {
            site: partial(_put, x[rows].repeat_interleave(behaviour.rows_per_prompt, dim=0), batch.node_mask)
            for site, x in streams.items()
        }
        run = runs.host.forward(batch, edits, logits_to_keep=behaviour.kept_logits)
        parts.append(behaviour.metric(run.logits))
    return torch.cat(parts)


def _put(
    stream: Float[Tensor, "rows seq d_model"],
    is_node: Bool[Tensor, "rows full"],
    x: Float[Tensor, "rows full d_model"],
) -> Float[Tensor, "rows full d_model"]:
    """The stream at the prompt's nodes; appended answer tokens go on as they are."""
    tail = x.shape[1] - stream.shape[1]
    return torch.where(is_node[..., None], torch.nn.functional.pad(stream, (0, 0, 0, tail)), x)
