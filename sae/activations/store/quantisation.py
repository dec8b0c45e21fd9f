"""Activations in two bytes or one an element: bfloat16, or int8 with one scale a token."""

from dataclasses import dataclass

import torch
from jaxtyping import BFloat16, Float, Float32, Int8
from torch import Tensor

__all__ = ["STORED_DTYPES", "QuantisedRows", "quantise"]

STORED_DTYPES = {"bfloat16": torch.bfloat16, "int8": torch.int8}
LARGEST_INT8 = 127


@dataclass(frozen=True, eq=False)
class QuantisedRows:
    """Activations as they are stored.

    Attributes:
        values: The rows, or with `scales` the integers that they are multiples of their scale by.
        scales: For int8, what one step of each token is worth: its largest element over 127. An outlying token
            thus coarsens itself only.
    """

    values: BFloat16[Tensor, "tokens d_model"] | Int8[Tensor, "tokens d_model"]
    scales: Float32[Tensor, " tokens"] | None = None

    def decode(self) -> Float32[Tensor, "tokens d_model"]:
        """The activations that are meant; of int8 no element is off by more than half its token's scale."""
        rows = self.values.float()
        return rows if self.scales is None else rows.mul_(self.scales[:, None])


def quantise(rows: Float[Tensor, "tokens d_model"], dtype: str) -> QuantisedRows:
    """Round activations to what is stored.

    Args:
        rows: Activations in any floating precision, finite.
        dtype: `bfloat16` or `int8`.
    """
    if dtype == "bfloat16":
        return QuantisedRows(rows.bfloat16())
    rows = rows.float()
    scales = rows.abs().amax(dim=-1) / LARGEST_INT8
    # a row of zeros has scale 0 and would be divided by it
    steps = rows / scales.clamp(min=torch.finfo(torch.float32).tiny)[:, None]
    return QuantisedRows(steps.round().clamp(-LARGEST_INT8, LARGEST_INT8).to(torch.int8), scales)
