"""Sparse feature activations: which features fire on which token, and how strongly."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

__all__ = ["FeatureActs"]


@dataclass(frozen=True, eq=False)
class FeatureActs:
    """Feature activations of consecutive tokens in compressed sparse row form.

    The entries of token `t` are `values[token_offsets[t]:token_offsets[t + 1]]`, and `feature_ids` of the
    same slice names their features in ascending order.

    Attributes:
        values: Activations, greater than 0.
        feature_ids: Feature of each value, in `[0, d_sae)`.
        token_offsets: Where each token's entries begin; one more than there are tokens.
        d_sae: Number of features of the dictionary.
    """

    values: Float[Tensor, " active"]
    feature_ids: Int64[Tensor, " active"]
    token_offsets: Int64[Tensor, " offsets"]
    d_sae: int

    def __post_init__(self) -> None:
        if len(self.token_offsets) == 0:
            raise ValueError("token_offsets is empty, expected one entry more than there are tokens")
        if int(self.token_offsets[-1]) != len(self.values):
            raise ValueError(
                f"token_offsets end at {int(self.token_offsets[-1])}, expected the number of values, {len(self.values)}"
            )

    @classmethod
    def from_dense(cls, feature_acts: Float[Tensor, "tokens d_sae"]) -> "FeatureActs":
        """Keep the non-zero entries of dense activations."""
        rows, feature_ids = feature_acts.nonzero(as_tuple=True)
        counts = torch.bincount(rows, minlength=len(feature_acts))
        return cls(feature_acts[rows, feature_ids], feature_ids, _offsets(counts), feature_acts.shape[1])

    @classmethod
    def concatenate(cls, parts: "list[FeatureActs]") -> "FeatureActs":
        """The tokens of several parts, one after another.

        Raises:
            ValueError: There is no part, or the parts are of dictionaries of different sizes.
        """
        sizes = {part.d_sae for part in parts}
        if len(sizes) != 1:
            raise ValueError(f"cannot concatenate dictionaries of sizes {sorted(sizes)}, expected exactly one size")
        counts = torch.cat([part.l0 for part in parts])
        return cls(
            torch.cat([part.values for part in parts]),
            torch.cat([part.feature_ids for part in parts]),
            _offsets(counts),
            parts[0].d_sae,
        )

    @property
    def n_tokens(self) -> int:
        """Number of tokens, those without any active feature included."""
        return len(self.token_offsets) - 1

    @property
    def l0(self) -> Int64[Tensor, " tokens"]:
        """Number of active features of each token."""
        return self.token_offsets.diff()

    def token_ids(self) -> Int64[Tensor, " active"]:
        """The token (row) that each entry belongs to."""
        rows = torch.arange(self.n_tokens, device=self.token_offsets.device)
        return rows.repeat_interleave(self.l0)

    def to_dense(self) -> Float[Tensor, "tokens d_sae"]:
        """The same activations with their zeros."""
        dense = self.values.new_zeros(self.n_tokens, self.d_sae)
        dense[self.token_ids(), self.feature_ids] = self.values
        return dense

    def to(self, device: torch.device | str) -> "FeatureActs":
        """The same activations on another device."""
        return FeatureActs(
            self.values.to(device), self.feature_ids.to(device), self.token_offsets.to(device), self.d_sae
        )


def _offsets(counts: Int64[Tensor, " tokens"]) -> Int64[Tensor, " offsets"]:
    """Running sum of the counts, beginning with 0."""
    return torch.nn.functional.pad(counts.cumsum(0), (1, 0))
