"""Features of a small batch of equally long rows, as sorted entries (row, position, feature, value).

Circuits look at a few prompts and at many features that are mostly zero: entries keep their arithmetic independent of
the dictionary's width.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from circuits.runs.dictionaries import Dictionary

__all__ = ["ActiveFeatures", "encode_active"]


@dataclass(frozen=True)
class ActiveFeatures:
    """Non-zero features of `n_rows` rows of `n_positions` positions."""

    row: Int[Tensor, " entries"]
    position: Int[Tensor, " entries"]
    feature_id: Int[Tensor, " entries"]
    value: Float[Tensor, " entries"]
    n_rows: int
    n_positions: int
    d_sae: int

    @property
    def key(self) -> Int[Tensor, " entries"]:
        """One integer per (position, feature): equal keys are the same node."""
        return self.position * self.d_sae + self.feature_id

    def columns(self, feature_ids: Int[Tensor, " chosen"]) -> Float[Tensor, "rows positions chosen"]:
        """Dense values of the chosen features; `feature_ids` must be sorted and unique."""
        dense = self.value.new_zeros(self.n_rows, self.n_positions, len(feature_ids))
        if len(feature_ids) == 0:
            return dense
        column = torch.searchsorted(feature_ids, self.feature_id).clamp(max=len(feature_ids) - 1)
        chosen = feature_ids[column] == self.feature_id
        dense[self.row[chosen], self.position[chosen], column[chosen]] = self.value[chosen]
        return dense

    def values(
        self, position: Int[Tensor, " nodes"], feature_ids: Int[Tensor, " nodes"]
    ) -> Float[Tensor, "rows nodes"]:
        """Of one feature at one position each, in every row."""
        if len(self.value) == 0:
            return self.value.new_zeros(self.n_rows, len(position))
        row = torch.arange(self.n_rows, device=position.device)[:, None]
        wanted = (row * self.n_positions + position) * self.d_sae + feature_ids
        own = self.row * self.n_positions * self.d_sae + self.key
        found = torch.searchsorted(own, wanted).clamp(max=len(own) - 1)
        return torch.where(own[found] == wanted, self.value[found], 0)

    def at(self, position: Int[Tensor, " chosen"]) -> "ActiveFeatures":
        """Those of some distinct positions, which are numbered anew in the given order."""
        slot = torch.full((self.n_positions,), -1, device=position.device)
        slot[position] = torch.arange(len(position), device=position.device)
        kept = slot[self.position] >= 0
        columns = self.row[kept], slot[self.position[kept]], self.feature_id[kept], self.value[kept]
        return ActiveFeatures(*columns, self.n_rows, len(position), self.d_sae)


def encode_active(
    dictionary: Dictionary, x: Float[Tensor, "rows positions d_model"], at: Bool[Tensor, " positions"]
) -> ActiveFeatures:
    """Encode activations and keep what is not zero, at the positions where `at` is true.

    One row is dense at a time, so memory stays at positions x d_sae.
    """
    found = []
    for index, activation in enumerate(x):
        feature_acts = dictionary.encode(activation) * at[:, None]
        position, feature_id = feature_acts.nonzero(as_tuple=True)
        found.append((torch.full_like(position, index), position, feature_id, feature_acts[position, feature_id]))
    row, position, feature_id, value = (torch.cat(parts) for parts in zip(*found, strict=True))
    n_rows, n_positions = x.shape[:2]
    return ActiveFeatures(row, position, feature_id, value, n_rows, n_positions, dictionary.d_sae)
