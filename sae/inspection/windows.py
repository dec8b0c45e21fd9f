"""Tokens around an active one, gathered for many features at once in bounded memory."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from sae.inspection.encoded_batches import EncodedBatch

__all__ = ["NO_TOKEN", "WindowCollector", "WindowShape", "Windows", "best_of_each_group"]

NO_TOKEN = -1


@dataclass(frozen=True)
class WindowShape:
    """How many tokens a window shows before and after the one in question."""

    before: int
    after: int

    @property
    def width(self) -> int:
        """Tokens of a window."""
        return self.before + 1 + self.after


@dataclass(frozen=True, eq=False)
class Windows:
    """Windows of one or several features.

    Attributes:
        token_ids: `NO_TOKEN` before the first and after the last encoded token of a document.
        activations: Of the window's feature at each of its tokens; 0 where it is not active.
        document_ids: Which document of the corpus.
    """

    token_ids: Int64[Tensor, "*windows width"]
    activations: Float[Tensor, "*windows width"]
    document_ids: Int64[Tensor, "*windows"]


class WindowCollector:
    """Keeps for each of some features the windows with the largest keys.

    Args:
        feature_ids: The features, each once.
        d_sae: Features of the dictionary.
        n_kept: Windows to keep for each of them.
        shape: Of a window; the token in question is at index `shape.before`.
    """

    def __init__(self, feature_ids: Int64[Tensor, " chosen"], d_sae: int, n_kept: int, shape: WindowShape) -> None:
        self.feature_ids = feature_ids
        self.n_kept = n_kept
        self.shape = shape
        self._slot_of_feature = torch.full((d_sae,), -1)
        self._slot_of_feature[feature_ids] = torch.arange(len(feature_ids))
        n_places = len(feature_ids) * n_kept
        self._keys = torch.full((n_places,), -torch.inf)
        self._windows = Windows(
            token_ids=torch.full((n_places, shape.width), NO_TOKEN),
            activations=torch.zeros(n_places, shape.width),
            document_ids=torch.full((n_places,), -1),
        )

    def entries(self, batch: EncodedBatch) -> tuple[Int64[Tensor, " mine"], Int64[Tensor, " mine"]]:
        """The entries of a batch that are of this collector's features, and which feature, counted from 0."""
        slots = self._slot_of_feature[batch.feature_acts.feature_ids]
        mine = (slots >= 0).nonzero()[:, 0]
        return mine, slots[mine]

    def offer(
        self,
        batch: EncodedBatch,
        entries: Int64[Tensor, " offered"],
        slots: Int64[Tensor, " offered"],
        keys: Float[Tensor, " offered"],
    ) -> None:
        """Keep the windows around some entries where their keys are among the largest of their feature.

        Args:
            batch: Where the entries are from.
            entries: Which entries of the batch's `feature_acts`.
            slots: Their features, as `entries` counts them.
            keys: What to judge by, such as the activation or a random number.
        """
        lowest_kept = self._keys.view(-1, self.n_kept).amin(1)
        could_stay = keys > lowest_kept[slots]
        entries, slots, keys = entries[could_stay], slots[could_stay], keys[could_stay]
        best = best_of_each_group(slots, keys, self.n_kept)
        entries, slots, keys = entries[best], slots[best], keys[best]
        self._merge(slots, keys, _windows_around(batch, entries, self.shape))

    def result(self, slot: int) -> Windows:
        """The windows that were kept of a feature, those with the largest keys first."""
        places = torch.arange(slot * self.n_kept, (slot + 1) * self.n_kept)
        places = places[self._keys[places] > -torch.inf]
        return _take(self._windows, places)

    def _merge(self, slots: Int64[Tensor, " new"], keys: Float[Tensor, " new"], windows: Windows) -> None:
        old_slots = torch.arange(len(self._keys)) // self.n_kept
        all_slots, all_keys = torch.cat([old_slots, slots]), torch.cat([self._keys, keys])
        # groups come out complete and in order, so that the chosen ones fall on their places
        chosen = best_of_each_group(all_slots, all_keys, self.n_kept)
        pairs = [
            (self._windows.token_ids, windows.token_ids),
            (self._windows.activations, windows.activations),
            (self._windows.document_ids, windows.document_ids),
        ]
        self._windows = Windows(*(torch.cat(pair)[chosen] for pair in pairs))
        self._keys = all_keys[chosen]


def best_of_each_group(
    groups: Int64[Tensor, " items"], keys: Float[Tensor, " items"], n: int
) -> Int64[Tensor, " chosen"]:
    """Indices of the `n` items with the largest keys of each group, group by group and largest first."""
    order = keys.argsort(descending=True, stable=True)
    order = order[groups[order].argsort(stable=True)]
    ordered = groups[order]
    rank = torch.arange(len(order)) - torch.searchsorted(ordered, ordered)
    return order[rank < n]


def _windows_around(batch: EncodedBatch, entries: Int64[Tensor, " entries"], shape: WindowShape) -> Windows:
    length = batch.ids.shape[1]
    cells = batch.cells[batch.entry_tokens[entries]]
    columns = (cells % length)[:, None] + torch.arange(-shape.before, shape.after + 1)
    inside = (columns >= 0) & (columns < length)
    around = (cells // length)[:, None] * length + columns.clamp(0, length - 1)
    inside &= batch.node_mask.flatten()[around]
    features = batch.feature_acts.feature_ids[entries][:, None].expand_as(around)
    return Windows(
        token_ids=torch.where(inside, batch.ids.flatten()[around], NO_TOKEN),
        activations=torch.where(inside, batch.activations_at(around, features), 0.0),
        document_ids=batch.entry_documents[entries],
    )


def _take(windows: Windows, places: Int64[Tensor, " places"]) -> Windows:
    return Windows(windows.token_ids[places], windows.activations[places], windows.document_ids[places])
