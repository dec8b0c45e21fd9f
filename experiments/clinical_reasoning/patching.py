"""Nodes of one run moved to the values that they have in the other run of their pair.

    x' = x + sum over moved features of (f_donor - f) * W_dec[f] + sum over moved errors of (error_donor - error)

f and error are those of the current run, which edits at earlier sites may have moved: what is measured is the total
effect of the moved nodes (Pearl's natural indirect effect of them as mediators), everything after them runs freely.
Rows of a batch are different moves of different pairs.

Nulls make the same change elsewhere: at another position, or along the direction of another feature, as long as the
chosen feature's own change would be.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from circuits.effects.edge_effects import ERROR
from circuits.runs.dictionaries import Dictionary, decoder_rows_of, input_sites_of
from circuits.runs.passes import in_passes
from circuits.workbench import Workbench
from experiments.clinical_reasoning.asked_pairs import AskedPair, rows_per_pass
from sae.host.reading_edits import ReadingEdit, host_edits
from sae.host.sites import Site
from sae.host.token_batch import TokenBatch

__all__ = ["ERROR", "FEATURES", "WHOLE", "Moves", "Patch", "moved_metrics"]

WHOLE = -2
"""Stands for the whole activation of a position, features and error: a dense patch."""

FEATURES = -3
"""Stands for all features of a position together, without the error."""


@dataclass(frozen=True)
class Moves:
    """What is moved at one site of one row, an entry each; positions are those of the pair's token ids.

    Attributes:
        position: Where the receiving run's value is read, and the change added unless `at` says otherwise.
        feature_id: The feature; `ERROR` is the error of its position, `FEATURES` all of its features together, `WHOLE`
            its activation.
        donor_position: Where the other run's value is read; the same position by default.
        at: Where the change is added.
        along: Feature along whose direction it is added, as long as the moved feature's own change; errors and whole
            activations have no other direction.
        to_zero: Whether features take the value 0 instead of the other run's: they are turned off.
    """

    position: Int[Tensor, " moves"]
    feature_id: Int[Tensor, " moves"]
    donor_position: Int[Tensor, " moves"] | None = None
    at: Int[Tensor, " moves"] | None = None
    along: Int[Tensor, " moves"] | None = None
    to_zero: bool = False

    @classmethod
    def everywhere(cls, positions: Int[Tensor, " places"], feature_ids: Int[Tensor, " chosen"]) -> "Moves":
        """Every one of some nodes at every one of some positions."""
        n = len(feature_ids)
        return cls(positions.repeat_interleave(n), feature_ids.repeat(len(positions)))

    def __len__(self) -> int:
        return len(self.position)


Patch = Mapping[Site, Moves]
"""What is moved in one row; nothing where it is empty."""


def moved_metrics(
    workbench: Workbench, pairs: Sequence[AskedPair], patches: Sequence[tuple[int, Patch]]
) -> Float[Tensor, " patches"]:
    """m after the prompts of pairs, some of their nodes moved to the changed prompts' values.

    For moves in the other direction give `AskedPair.reversed`.

    Args:
        workbench: Host and dictionaries.
        pairs: What the patches are of.
        patches: Index of a pair, and what is moved in its prompt. Best in the order of pairs: the other runs of a
            pass are made once a pair.
    """
    if not patches:
        return torch.zeros(0)
    size = rows_per_pass([pairs[index].ids for index, _ in patches])

    def run(chosen: Int[Tensor, " rows"]) -> Tensor:
        return _moved(workbench, pairs, [patches[i] for i in chosen.tolist()])

    with torch.no_grad():
        return torch.cat(in_passes(len(patches), size, run))


def _moved(
    workbench: Workbench, pairs: Sequence[AskedPair], patches: Sequence[tuple[int, Patch]]
) -> Float[Tensor, " rows"]:
    host, dictionaries = workbench.host, workbench.dictionaries
    donors = list(dict.fromkeys(index for index, _ in patches))
    sites = [site for site in dictionaries if any(len(patch.get(site, ())) for _, patch in patches)]
    reads = {site: read for site, read in input_sites_of(dictionaries).items() if site in sites}
    batch = host.batch([pairs[index].ids for index, _ in patches])
    donor_batch = host.batch([pairs[index].changed_ids for index in donors])
    captured = host.capture(donor_batch, {*sites, *reads.values()}) if sites else {}
    edits: dict[Site, ReadingEdit] = {}
    for site in sites:
        entries = _entries(site, pairs, patches, donors, batch, donor_batch)
        edits[site] = _edit(dictionaries[site], entries, captured[reads[site]], captured[site])
    logits = host.forward(batch, host_edits(edits, reads), logits_to_keep=1).logits[:, -1]
    return torch.stack([pairs[index].metric_of(row) for (index, _), row in zip(patches, logits, strict=True)]).cpu()


@dataclass(frozen=True)
class _Entries:
    """The moves of all rows of a pass at one site; columns count from the padded beginning."""

    row: Int[Tensor, " moves"]
    column: Int[Tensor, " moves"]
    feature_id: Int[Tensor, " moves"]
    donor_row: Int[Tensor, " moves"]
    donor_column: Int[Tensor, " moves"]
    at: Int[Tensor, " moves"]
    along: Int[Tensor, " moves"]
    is_kept: Int[Tensor, " moves"]
    """0 where a feature is turned off, else 1."""

    def where(self, chosen: Bool[Tensor, " moves"]) -> "_Entries":
        """Some of them."""
        return _Entries(*(getattr(self, each.name)[chosen] for each in fields(self)))


def _entries(
    site: Site,
    pairs: Sequence[AskedPair],
    patches: Sequence[tuple[int, Patch]],
    donors: Sequence[int],
    batch: TokenBatch,
    donor_batch: TokenBatch,
) -> _Entries:
    columns = []
    for row, (index, patch) in enumerate(patches):
        if site not in patch:
            continue
        moves, length = patch[site], len(pairs[index].ids)
        shift, donor_shift = batch.ids.shape[1] - length, donor_batch.ids.shape[1] - length
        donor_position = moves.position if moves.donor_position is None else moves.donor_position
        at = moves.position if moves.at is None else moves.at
        along = moves.feature_id if moves.along is None else moves.along
        rows, donor_rows = (torch.full_like(at, which) for which in (row, donors.index(index)))
        placed = [rows, moves.position + shift, moves.feature_id, donor_rows, donor_position + donor_shift]
        columns.append(torch.stack([*placed, at + shift, along, torch.full_like(at, not moves.to_zero)]))
    return _Entries(*torch.cat(columns, dim=1).to(batch.ids.device))


def _edit(
    dictionary: Dictionary,
    entries: _Entries,
    donor_read: Float[Tensor, "donors seq d_model"],
    donor: Float[Tensor, "donors seq d_model"],
) -> ReadingEdit:
    """All moves of one site as one edit."""
    features = entries.where(entries.feature_id >= 0)
    vectors = entries.where(entries.feature_id < 0)
    wanted_acts = _acts(dictionary, features.feature_id, donor_read, features.donor_row, features.donor_column)
    wanted_acts = wanted_acts * features.is_kept
    spots = vectors.donor_row, vectors.donor_column
    wanted_vectors = _vectors(dictionary, vectors.feature_id, donor_read[spots], donor[spots])

    def edit(read: Float[Tensor, "rows seq d_model"], x: Float[Tensor, "rows seq d_model"]) -> Tensor:
        acts = _acts(dictionary, features.feature_id, read, features.row, features.column)
        moved = x.float() + _written(dictionary, features, wanted_acts - acts, x)
        here = vectors.row, vectors.column
        change = wanted_vectors - _vectors(dictionary, vectors.feature_id, read[here], x[here])
        return moved.index_put((vectors.row, vectors.at), change, accumulate=True).to(x.dtype)

    return edit


def _acts(
    dictionary: Dictionary,
    feature_id: Int[Tensor, " moves"],
    read: Float[Tensor, "rows seq d_model"],
    row: Int[Tensor, " moves"],
    column: Int[Tensor, " moves"],
) -> Float[Tensor, " moves"]:
    """One feature at one place each; each place is encoded once."""
    chosen, own = feature_id.unique(return_inverse=True)
    places, slot = (row * read.shape[1] + column).unique(return_inverse=True)
    acts = dictionary.encode_features(read.flatten(0, 1)[places].float(), chosen)
    return acts[slot, own]


def _written(
    dictionary: Dictionary, features: _Entries, amounts: Float[Tensor, " moves"], x: Float[Tensor, "rows seq d_model"]
) -> Float[Tensor, "rows seq d_model"]:
    """What changes of features add to the stream, as long along another direction as along their own."""
    lengths = [decoder_rows_of(dictionary, ids).norm(dim=1) for ids in (features.feature_id, features.along)]
    is_own = features.feature_id == features.along
    amounts = torch.where(is_own, amounts, amounts * lengths[0] / lengths[1].clamp(min=torch.finfo(x.dtype).tiny))
    chosen, own = features.along.unique(return_inverse=True)
    places, slot = (features.row * x.shape[1] + features.at).unique(return_inverse=True)
    by_place = amounts.new_zeros(len(places), len(chosen)).index_put((slot, own), amounts, accumulate=True)
    added = torch.zeros_like(x, dtype=torch.float32).flatten(0, 1)
    added[places] = by_place @ decoder_rows_of(dictionary, chosen)
    return added.view_as(x)


def _vectors(
    dictionary: Dictionary,
    kind: Int[Tensor, " moves"],
    read: Float[Tensor, "moves d_model"],
    x: Float[Tensor, "moves d_model"],
) -> Float[Tensor, "moves d_model"]:
    """The error, the features' part or the whole of an activation."""
    x_hat, x = dictionary.decode(dictionary.encode(read.float())), x.float()
    kinds = kind[:, None]
    return torch.where(kinds == ERROR, x - x_hat, torch.where(kinds == FEATURES, x_hat, x))
