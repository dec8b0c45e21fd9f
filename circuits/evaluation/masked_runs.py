"""What a circuit does by itself: masked runs.

Nodes are features. A masked run of the clean prompt recomputes the kept features on the current stream and sets
everything else at the sites, all error terms included, to its baseline:

    x' = x_baseline + sum over kept features of (f(x) - f_baseline) * W_dec[f]

so a dictionary without features does nothing, whatever its errors carry. Of a transcoder f(x) is that of what it reads
on the current stream, and its skip path goes with the errors. A circuit that keeps an error as a node holds it at its
clean value; with all of them and all features it is the model. Circuits are rows of a batch, each with its mask.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from circuits.effects.edge_effects import ERROR
from circuits.runs.dictionaries import Dictionary, decoder_rows_of
from circuits.runs.ensemble import Ensemble
from circuits.runs.node_set import NodeSet
from circuits.runs.passes import in_passes
from circuits.runs.runs import Runs
from sae.host.reading_edits import ReadingEdit, host_edits
from sae.host.sites import Site
from sae.host.token_batch import TokenBatch

__all__ = ["ALL_FEATURES", "ensemble_metrics", "kept_edit", "masked_metrics"]

ALL_FEATURES = None
"""Stands for the circuit of all features; errors still take their baseline."""

SMALL = 256
"""Nodes up to which a circuit is small: each row of a pass pays for the features that any of its circuits keeps."""

TOKENS_OF_LARGE = 2048
"""Tokens of a pass of large circuits, whose features take more memory than the model's activations."""

EditMaker = Callable[..., ReadingEdit]


@dataclass(frozen=True)
class _SiteMask:
    """What a masked run does at one site."""

    feature_ids: Int[Tensor, " chosen"]
    kept: Bool[Tensor, "rows full chosen"] | Float[Tensor, "rows full chosen"]
    baseline_acts: Float[Tensor, "rows full chosen"]
    baseline: Float[Tensor, "rows full d_model"]
    is_node: Bool[Tensor, "rows full"]


def masked_metrics(runs: Runs, circuits: Sequence[NodeSet | None]) -> Float[Tensor, "circuits references"]:
    """m of each circuit under each reference of the baseline.

    Args:
        runs: Clean and baseline runs.
        circuits: Node sets, in which feature `ERROR` is the error of its position; `ALL_FEATURES` keeps every feature.
    """
    n_references = runs.baseline.n_references
    metrics = torch.empty(len(circuits), n_references)
    cells = [(c, r) for c in range(len(circuits)) for r in range(n_references)]
    every = [cell for cell in cells if circuits[cell[0]] is ALL_FEATURES]
    size_of = {c: len(circuit) for c, circuit in enumerate(circuits) if circuit is not ALL_FEATURES}
    small = [cell for cell in cells if size_of.get(cell[0], SMALL + 1) <= SMALL]
    large = [cell for cell in cells if size_of.get(cell[0], 0) > SMALL]
    few = runs.rows_per_pass(TOKENS_OF_LARGE)
    groups = ((small, _masked_edit, runs.rows_per_pass()), (large, _masked_edit, few), (every, _all_features_edit, few))
    for group, edit_of, size in groups:
        run = partial(_run_cells, runs, [(circuits[c], r) for c, r in group], edit_of)
        for (circuit, reference), value in zip(group, chain(*in_passes(len(group), size, run)), strict=True):
            metrics[circuit, reference] = value
    return metrics


def ensemble_metrics(ensemble: Ensemble, circuits: Sequence[NodeSet | None]) -> Float[Tensor, "circuits units"]:
    """m of each circuit in each unit of an ensemble; circuits of equal nodes are run once.

    Args:
        ensemble: Aligned prompts, or a lone one.
        circuits: Node sets at the ensemble's places; `ALL_FEATURES` keeps every feature.
    """
    keys = [_key(circuit) for circuit in circuits]
    distinct = dict(zip(keys, circuits, strict=True))
    per_run = []
    for index, runs in enumerate(ensemble.runs):
        own = [nodes if nodes is ALL_FEATURES else ensemble.of_run(index, nodes) for nodes in distinct.values()]
        per_run.append(masked_metrics(runs, own))
    row_of = {key: row for row, key in enumerate(distinct)}
    return ensemble.over_units(per_run)[[row_of[key] for key in keys]]


def _key(circuit: NodeSet | None) -> Hashable:
    """Equal for circuits of equal nodes, in whatever order."""
    if circuit is ALL_FEATURES:
        return None
    columns = ((site, torch.stack(pair, dim=1).unique(dim=0)) for site, pair in circuit.nodes.items())
    return frozenset((site, pairs.cpu().numpy().tobytes()) for site, pairs in columns if len(pairs))


def _run_cells(
    runs: Runs, all_cells: list[tuple[NodeSet | None, int]], edit_of: EditMaker, chosen: Int[Tensor, " cells"]
) -> list[float]:
    """m of the chosen cells: circuits, each under one reference."""
    cells = [all_cells[index] for index in chosen.tolist()]
    batch = runs.batch.repeat(len(cells))
    references = torch.tensor([reference for _, reference in cells], device=batch.ids.device)
    node_sets = [circuit for circuit, _ in cells]
    edits = {site: edit_of(runs, site, node_sets, references, batch.node_mask) for site in runs.sites}
    return runs.behaviour.metric(_edited_logits(runs, batch, edits)).tolist()


def _edited_logits(
    runs: Runs, batch: TokenBatch, edits: Mapping[Site, ReadingEdit]
) -> Float[Tensor, "rows kept vocab"]:
    """Logits of copies of the prompt under edits; what all have in common up to the first of them is not run again."""
    first, keep = runs.sites[0], runs.behaviour.kept_logits
    if first.kind != "resid_post":
        return runs.host.forward(batch, host_edits(edits, runs.input_sites), logits_to_keep=keep).logits
    clean = runs.clean[first].repeat(len(batch.ids) // len(runs.clean[first]), 1, 1)
    later = {site: edit for site, edit in edits.items() if site != first}
    return runs.host.forward_from(
        batch, first, edits[first](clean, clean), edits=host_edits(later, runs.input_sites), logits_to_keep=keep
    )


def _masked_edit(
    runs: Runs,
    site: Site,
    circuits: Sequence[NodeSet],
    references: Int[Tensor, " cells"],
    is_node: Bool[Tensor, "rows full"],
) -> ReadingEdit:
    """Keep each row's own features; only the columns that some row keeps are encoded."""
    own = [circuit.nodes.get(site) for circuit in circuits]
    named = [features for nodes in own if nodes is not None for features in [nodes[1]]]
    columns = torch.cat([references.new_full((1,), ERROR), *named]).unique()
    kept = torch.zeros(len(own), is_node.shape[1], len(columns), dtype=torch.bool, device=is_node.device)
    for row, nodes in enumerate(own):
        if nodes is not None:
            kept[row, nodes[0], torch.searchsorted(columns, nodes[1])] = True
    return kept_edit(runs, site, columns[1:], kept[..., 1:], references, is_node, kept_errors=kept[..., 0])


def kept_edit(
    runs: Runs,
    site: Site,
    feature_ids: Int[Tensor, " chosen"],
    kept: Bool[Tensor, "cells full chosen"] | Float[Tensor, "cells full chosen"],
    references: Int[Tensor, " cells"],
    is_node: Bool[Tensor, "rows full"],
    *,
    kept_errors: Bool[Tensor, "cells full"] | None = None,
) -> ReadingEdit:
    """The edit that keeps features of one site and sets all else there to its baseline.

    Args:
        runs: Clean and baseline runs.
        site: Where to edit.
        feature_ids: The features that are kept anywhere, sorted and unique.
        kept: Which of them each cell keeps at each position; shares between 0 and 1 keep a part, with gradients.
        references: The baseline of each cell.
        is_node: Positions that may carry nodes; a cell has a row for each answer that is scored token by token.
        kept_errors: Where each cell keeps the error; None for nowhere.
    """
    per_prompt = runs.behaviour.rows_per_prompt
    baseline_acts = runs.baseline.features[site].columns(feature_ids)[references]
    padded = torch.nn.functional.pad(baseline_acts, (0, 0, 0, is_node.shape[1] - baseline_acts.shape[1]))
    baseline = runs.baseline_rows(site)[references]
    if kept_errors is not None and kept_errors.any():
        baseline = baseline + _moved_errors(runs, site, references, kept_errors)
    mask = _SiteMask(
        feature_ids,
        kept.repeat_interleave(per_prompt, dim=0),
        padded.repeat_interleave(per_prompt, dim=0),
        baseline.repeat_interleave(per_prompt, dim=0),
        is_node,
    )
    return partial(_mask_features, runs.dictionaries[site], mask)


def _moved_errors(
    runs: Runs, site: Site, references: Int[Tensor, " cells"], kept: Bool[Tensor, "cells full"]
) -> Float[Tensor, "cells full d_model"]:
    """Of the errors that a row keeps, the way from the baseline to the clean run; 0 elsewhere."""
    moved = runs.clean[site].new_zeros(*kept.shape, runs.clean[site].shape[-1])
    clean = runs.clean_error(site)
    changes = [clean - runs.baseline_error(site, reference) for reference in range(runs.baseline.n_references)]
    moved[:, : runs.n_positions] = torch.stack(changes)[references]
    return moved * kept[..., None]


def _mask_features(
    dictionary: Dictionary,
    mask: _SiteMask,
    read: Float[Tensor, "rows full d_model"],
    x: Float[Tensor, "rows full d_model"],
) -> Float[Tensor, "rows full d_model"]:
    masked = mask.baseline
    if len(mask.feature_ids):
        moved = (dictionary.encode_features(read, mask.feature_ids) - mask.baseline_acts) * mask.kept
        masked = masked + moved @ decoder_rows_of(dictionary, mask.feature_ids)
    return torch.where(mask.is_node[..., None], masked, x)


def _all_features_edit(
    runs: Runs,
    site: Site,
    circuits: Sequence[NodeSet | None],
    references: Int[Tensor, " cells"],
    is_node: Bool[Tensor, "rows full"],
) -> ReadingEdit:
    """Keep all features; the error takes its baseline."""
    errors = torch.stack([runs.baseline_error(site, reference) for reference in references.tolist()])
    errors = torch.nn.functional.pad(errors, (0, 0, 0, is_node.shape[1] - errors.shape[1]))
    errors = errors.repeat_interleave(runs.behaviour.rows_per_prompt, dim=0)
    dictionary = runs.dictionaries[site]

    def edit(
        read: Float[Tensor, "rows full d_model"], x: Float[Tensor, "rows full d_model"]
    ) -> Float[Tensor, "rows full d_model"]:
        return torch.where(is_node[..., None], dictionary.decode(dictionary.encode(read)) + errors, x)

    return edit
