"""Triton: decode, bias, residual, squared error and value gradients in one kernel, one program a token and tile.

The loss is known where the reconstruction is, so value gradients follow at once, while the decoder rows that were
read for the reconstruction still lie in cache; no tensor of tokens * d_sae is ever kept.
"""

from dataclasses import dataclass
from typing import no_type_check

import torch
import triton
import triton.language as tl
from jaxtyping import Float
from torch import Tensor

from sae.kernels.triton_compaction import EntryRows

__all__ = ["Decoded", "decode_rows", "tile_width"]

# d_model 3072 is three tiles of 1024; a tile that is not a power of two would leave lanes idle
LARGEST_TILE = 1024
ENTRIES_AT_A_TIME = 8


@dataclass(frozen=True, eq=False)
class Decoded:
    """What comes of a batch's entries.

    Attributes:
        r: Gradient of the reconstruction: scale of the token times its error.
        squared_error: Of each token, summed over d_model.
        partial_gradients: Inner products of r with each entry's decoder row, of each tile of d_model.
    """

    r: Float[Tensor, "tokens d_model"]
    squared_error: Float[Tensor, " tokens"]
    partial_gradients: Float[Tensor, "tiles tokens capacity"]


def tile_width(d_model: int) -> int:
    """Power of two by which the residual width is cut."""
    return min(LARGEST_TILE, triton.next_power_of_2(d_model))


def decode_rows(
    rows: EntryRows,
    x: Float[Tensor, "tokens d_model"],
    decoder_rows: Float[Tensor, "d_sae d_model"],
    b_dec: Float[Tensor, " d_model"],
    threshold: Float[Tensor, " d_sae"],
    scales: Float[Tensor, " tokens"],
    *,
    gathers_window: bool,
    r_dtype: torch.dtype = torch.float32,
) -> Decoded:
    """Reconstruct each token from its active entries; see `Decoded`.

    Args:
        rows: Entries of each token.
        x: What is reconstructed; contiguous.
        decoder_rows: Masters or bfloat16 shadows; contiguous.
        b_dec: Decoder bias.
        threshold: Entries above it are active.
        scales: From the error of a token to the gradient of its reconstruction.
        gathers_window: Whether inactive entries need value gradients; otherwise theirs are zero.
        r_dtype: Precision in which r is kept; value gradients are taken before it is rounded.
    """
    n_tokens, d_model = x.shape
    width = tile_width(d_model)
    n_tiles = triton.cdiv(d_model, width)
    r = torch.empty_like(x, dtype=r_dtype)
    squared_error = torch.empty(n_tiles, n_tokens, dtype=torch.float32, device=x.device)
    partial_gradients = torch.empty(n_tiles, *rows.feature_ids.shape, dtype=torch.float32, device=x.device)
    _decode_kernel[(n_tokens, n_tiles)](
        rows.feature_ids,
        rows.pre_acts,
        rows.counts,
        threshold,
        decoder_rows,
        b_dec,
        x,
        scales,
        r,
        squared_error,
        partial_gradients,
        n_tokens,
        d_model,
        rows.capacity,
        GATHERS_WINDOW=gathers_window,
        ENTRIES=ENTRIES_AT_A_TIME,
        WIDTH=width,
        num_warps=4,
    )
    return Decoded(r, squared_error.sum(0), partial_gradients)


@triton.jit
@no_type_check
def _load_entries(slots, count, feature_ids_ptr, values_ptr, threshold_ptr):
    inside = slots < count
    features = tl.load(feature_ids_ptr + slots, mask=inside, other=0).to(tl.int64)
    values = tl.load(values_ptr + slots, mask=inside, other=0.0)
    active = inside & (values > tl.load(threshold_ptr + features, mask=inside, other=0.0))
    return features, values, inside, active


@triton.jit
@no_type_check
def _decode_kernel(
    feature_ids_ptr,
    values_ptr,
    counts_ptr,
    threshold_ptr,
    decoder_ptr,
    b_dec_ptr,
    x_ptr,
    scales_ptr,
    r_ptr,
    squared_error_ptr,
    gradients_ptr,
    n_tokens,
    d_model,
    capacity,
    GATHERS_WINDOW: tl.constexpr,
    ENTRIES: tl.constexpr,
    WIDTH: tl.constexpr,
):
    token = tl.program_id(0).to(tl.int64)
    tile = tl.program_id(1).to(tl.int64)
    columns = tile * WIDTH + tl.arange(0, WIDTH)
    in_row = columns < d_model
    # a row that overflowed is cut here; the step is then done again on another path
    count = tl.minimum(tl.load(counts_ptr + token), capacity)
    feature_ids_ptr += token * capacity
    values_ptr += token * capacity
    gradients_ptr += (tile * n_tokens + token) * capacity

    error = tl.load(b_dec_ptr + columns, mask=in_row, other=0.0)
    error -= tl.load(x_ptr + token * d_model + columns, mask=in_row, other=0.0)
    for start in range(0, count, ENTRIES):
        slots = start + tl.arange(0, ENTRIES)
        features, values, _, active = _load_entries(slots, count, feature_ids_ptr, values_ptr, threshold_ptr)
        pointers = decoder_ptr + features[:, None] * d_model + columns[None, :]
        decoder = tl.load(pointers, mask=active[:, None] & in_row[None, :], other=0.0).to(tl.float32)
        error += tl.sum(values[:, None] * decoder, 0)

    r = error * tl.load(scales_ptr + token)
    tl.store(squared_error_ptr + tile * n_tokens + token, tl.sum(error * error, 0))
    tl.store(r_ptr + token * d_model + columns, r, mask=in_row)
    for start in range(0, count, ENTRIES):
        slots = start + tl.arange(0, ENTRIES)
        features, _, inside, active = _load_entries(slots, count, feature_ids_ptr, values_ptr, threshold_ptr)
        gathered = inside if GATHERS_WINDOW else active
        pointers = decoder_ptr + features[:, None] * d_model + columns[None, :]
        decoder = tl.load(pointers, mask=gathered[:, None] & in_row[None, :], other=0.0).to(tl.float32)
        tl.store(gradients_ptr + slots, tl.sum(decoder * r[None, :], 1), mask=inside)
