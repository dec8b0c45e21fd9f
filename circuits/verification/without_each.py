"""Masked runs of a circuit without each of its nodes in turn.

Up to a node's site a run without that node is the circuit's own run. So the circuit runs once under each reference; a
run without a node starts at its site, with what the node brings taken from the stream, and earlier layers do not run:

    x' = x_circuit - (f - f_baseline) * W_dec[f]

`ensemble_metrics` of each smaller set is the slow form.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from circuits.evaluation.masked_runs import kept_edit
from circuits.evaluation.selection import Ranking
from circuits.runs.dictionaries import decoder_rows_of
from circuits.runs.ensemble import Ensemble
from circuits.runs.passes import in_passes
from circuits.runs.runs import Runs
from sae.host.reading_edits import ReadingEdit, host_edits
from sae.host.sites import Site

__all__ = ["metrics_without_each"]


@dataclass(frozen=True)
class _SiteNodes:
    """The circuit's nodes of one site in one prompt."""

    index: Int[Tensor, " nodes"]
    """Which nodes of the circuit they are."""
    at: Bool[Tensor, "nodes full"]
    """The positions of each; nowhere on appended answers."""
    feature_ids: Int[Tensor, " chosen"]
    column: Int[Tensor, " nodes"]
    """Of each node, its feature among `feature_ids`."""

    @property
    def kept(self) -> Bool[Tensor, "full chosen"]:
        """Which features are kept where."""
        kept = torch.zeros(self.at.shape[1], len(self.feature_ids), dtype=torch.bool, device=self.at.device)
        node, position = self.at.nonzero(as_tuple=True)
        kept[position, self.column[node]] = True
        return kept


@dataclass(frozen=True)
class _CircuitRun:
    """The circuit's own masked run, a row for each reference and scored answer."""

    read: Mapping[Site, Float[Tensor, "rows full d_model"]]
    """What each site's dictionary encodes."""
    stream: Mapping[Site, Float[Tensor, "rows full d_model"]]
    """After the edits."""


def metrics_without_each(
    ensemble: Ensemble, ranking: Ranking, ranks: Int[Tensor, " nodes"]
) -> Float[Tensor, "nodes units"]:
    """m of a circuit less one node, for each of its nodes, in each unit of an ensemble.

    Args:
        ensemble: Aligned prompts, or a lone one.
        ranking: Of features, at the ensemble's places.
        ranks: Where the circuit's nodes stand in it.
    """
    per_run = []
    for index, runs in enumerate(ensemble.runs):
        place_of = ensemble.places.of_position[index]
        nodes = {site: _site_nodes(runs, place_of, ranking, ranks, i) for i, site in enumerate(ranking.sites)}
        per_run.append(_of_prompt(runs, nodes, len(ranks)))
    return ensemble.over_units(per_run)


def _site_nodes(
    runs: Runs, place_of: Int[Tensor, " seq"], ranking: Ranking, ranks: Int[Tensor, " nodes"], site_index: int
) -> _SiteNodes:
    index = (ranking.site_index[ranks] == site_index).nonzero()[:, 0]
    here = ranks[index]
    at = (ranking.position[here, None] == place_of.to(here)[None]) & runs.at_nodes
    tail = runs.batch.ids.shape[1] - runs.n_positions
    feature_ids, column = ranking.feature_id[here].unique(return_inverse=True)
    return _SiteNodes(index, torch.nn.functional.pad(at, (0, tail)), feature_ids, column)


def _of_prompt(runs: Runs, nodes: Mapping[Site, _SiteNodes], n_nodes: int) -> Float[Tensor, "nodes references"]:
    circuit_run = _run_circuit(runs, nodes)
    metrics = torch.empty(n_nodes, runs.baseline.n_references)
    for site, own in nodes.items():
        if len(own.index):
            metrics[own.index.cpu()] = _of_site(runs, site, nodes, circuit_run)
    return metrics


def _run_circuit(runs: Runs, nodes: Mapping[Site, _SiteNodes]) -> _CircuitRun:
    references = torch.arange(runs.baseline.n_references, device=runs.batch.ids.device)
    batch = runs.batch.repeat(len(references))
    read: dict[Site, Tensor] = {}

    def recording(site: Site, edit: ReadingEdit) -> ReadingEdit:
        def record_and_edit(x_read: Tensor, x: Tensor) -> Tensor:
            read[site] = x_read
            return edit(x_read, x)

        return record_and_edit

    edits = {site: recording(site, _edit(runs, site, nodes, references, batch.node_mask)) for site in runs.sites}
    captured = {*runs.sites, *(start for site in runs.sites if (start := _start(site)) is not None)}
    run = runs.host.forward(batch, host_edits(edits, runs.input_sites), capture=captured, logits_to_keep=1)
    return _CircuitRun(read, run.activations)


def _of_site(
    runs: Runs, site: Site, nodes: Mapping[Site, _SiteNodes], circuit_run: _CircuitRun
) -> Float[Tensor, "nodes references"]:
    own, n_references = nodes[site], runs.baseline.n_references
    brought = _brought(runs, site, own, circuit_run.read[site])
    directions = decoder_rows_of(runs.dictionaries[site], own.feature_ids)
    answers = torch.arange(runs.behaviour.rows_per_prompt, device=brought.device)

    def measure(cells: Int[Tensor, " some"]) -> Float[Tensor, " some"]:
        node, reference = cells.to(brought.device) // n_references, cells.to(brought.device) % n_references
        rows = (reference[:, None] * len(answers) + answers).flatten()
        node_of_row = node.repeat_interleave(len(answers))
        column = own.column[node_of_row]
        lost = (brought[rows, :, column] * own.at[node_of_row])[..., None] * directions[column, None]
        streams = {other: circuit_run.stream[other][rows] for other in circuit_run.stream if other <= site}
        streams[site] = streams[site].float() - lost
        return runs.behaviour.metric(_logits(runs, site, nodes, streams, reference)).cpu()

    n_cells = len(own.index) * n_references
    return torch.cat(in_passes(n_cells, runs.rows_per_pass(), measure)).view(-1, n_references)


def _logits(
    runs: Runs,
    site: Site,
    nodes: Mapping[Site, _SiteNodes],
    streams: Mapping[Site, Float[Tensor, "rows full d_model"]],
    references: Int[Tensor, " cells"],
) -> Float[Tensor, "rows kept vocab"]:
    """What the model makes of given streams up to a site, and of the circuit's nodes after it."""
    start, kept = _start(site), runs.behaviour.kept_logits
    batch = runs.batch.repeat(len(references))
    edits: dict[Site, ReadingEdit] = {}
    for other in runs.sites:
        if other > site:
            edits[other] = _edit(runs, other, nodes, references, batch.node_mask)
        elif start is None or other > start:
            edits[other] = partial(_put, streams[other])
    of_host = host_edits(edits, runs.input_sites)
    if start is None:
        return runs.host.forward(batch, of_host, logits_to_keep=kept).logits
    return runs.host.forward_from(batch, start, streams[start], edits=of_host, logits_to_keep=kept)


def _put(
    stream: Float[Tensor, "rows full d_model"],
    read: Float[Tensor, "rows full d_model"],
    x: Float[Tensor, "rows full d_model"],
) -> Float[Tensor, "rows full d_model"]:
    return stream


def _brought(
    runs: Runs, site: Site, own: _SiteNodes, read: Float[Tensor, "rows full d_model"]
) -> Float[Tensor, "rows full chosen"]:
    """How far the circuit's run moves the features of a site from their baseline."""
    base = runs.baseline.features[site].columns(own.feature_ids)
    padded = torch.nn.functional.pad(base, (0, 0, 0, read.shape[1] - base.shape[1]))
    now = runs.dictionaries[site].encode_features(read, own.feature_ids)
    return now - padded.repeat_interleave(runs.behaviour.rows_per_prompt, dim=0)


def _edit(
    runs: Runs,
    site: Site,
    nodes: Mapping[Site, _SiteNodes],
    references: Int[Tensor, " cells"],
    is_node: Bool[Tensor, "rows full"],
) -> ReadingEdit:
    own = nodes[site]
    return kept_edit(runs, site, own.feature_ids, own.kept.expand(len(references), -1, -1), references, is_node)


def _start(site: Site) -> Site | None:
    """The last stream between layers up to a site, from which the model can go on; None for its beginning."""
    if site.kind == "resid_post":
        return site
    return Site("resid_post", site.layer - 1) if site.layer else None
