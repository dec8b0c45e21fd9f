"""Triton: the active and window entries of each token, in rows of fixed capacity whose true counts are kept.

A fixed stride needs no second pass and no look-back between programs; a count above it says that a row overflowed.
"""

from dataclasses import dataclass
from typing import no_type_check

import torch
import triton
import triton.language as tl
from jaxtyping import Float, Int32
from torch import Tensor

from sae.kernels.support import Support, offsets_of_groups

__all__ = ["EntryRows", "compact_rows", "empty_rows", "pack_rows"]

BLOCK_FEATURES = 2048
BLOCK_ENTRIES = 64


@dataclass(frozen=True, eq=False)
class EntryRows:
    """Entries of each token; of row n the first `counts[n]` are valid, or all where it overflowed.

    Attributes:
        feature_ids: Ascending within a row.
        pre_acts: Of each entry, bias included.
        counts: Entries that each token has, whether or not they fit.
        active_counts: How many of them are active.
    """

    feature_ids: Int32[Tensor, "tokens capacity"]
    pre_acts: Float[Tensor, "tokens capacity"]
    counts: Int32[Tensor, " tokens"]
    active_counts: Int32[Tensor, " tokens"]

    @property
    def capacity(self) -> int:
        """Entries that fit into a row."""
        return self.feature_ids.shape[1]


def empty_rows(n_tokens: int, capacity: int, device: torch.device) -> EntryRows:
    """Rows to be filled by `compact_rows`."""
    return EntryRows(
        feature_ids=torch.empty(n_tokens, capacity, dtype=torch.int32, device=device),
        pre_acts=torch.empty(n_tokens, capacity, dtype=torch.float32, device=device),
        counts=torch.empty(n_tokens, dtype=torch.int32, device=device),
        active_counts=torch.empty(n_tokens, dtype=torch.int32, device=device),
    )


def compact_rows(
    pre_acts: Float[Tensor, "tokens d_sae"],
    b_enc: Float[Tensor, " d_sae"],
    threshold: Float[Tensor, " d_sae"],
    rows: EntryRows,
    *,
    bandwidth: float,
    first_token: int = 0,
) -> None:
    """Fill the rows of some tokens with the entries that are active or in the window.

    Args:
        pre_acts: Without the bias, which is added in float32; contiguous.
        b_enc: The bias.
        threshold: Of each feature.
        rows: Written from `first_token` on.
        bandwidth: Width of the window.
        first_token: Of `pre_acts` in the batch.
    """
    n_tokens, d_sae = pre_acts.shape
    _compact_kernel[(n_tokens,)](
        pre_acts,
        b_enc,
        threshold,
        rows.feature_ids[first_token:],
        rows.pre_acts[first_token:],
        rows.counts[first_token:],
        rows.active_counts[first_token:],
        d_sae,
        rows.capacity,
        bandwidth / 2,
        BLOCK=min(BLOCK_FEATURES, triton.next_power_of_2(d_sae)),
        num_warps=8,
    )


def pack_rows(
    rows: EntryRows, partial_gradients: Float[Tensor, "tiles tokens capacity"], *, n_entries: int, d_sae: int
) -> tuple[Support, Float[Tensor, " entries"]]:
    """The rows end to end, and the value gradients, whose tiles are added in order.

    Args:
        rows: None of them overflowed.
        partial_gradients: Of each entry, from each tile of the residual width.
        n_entries: Sum of the counts, known to the caller: asking the device here would wait for it.
        d_sae: Number of features of the dictionary.
    """
    n_tiles, n_tokens, capacity = partial_gradients.shape
    support = Support(
        token_offsets=offsets_of_groups(rows.counts),
        feature_ids=torch.empty(n_entries, dtype=torch.int32, device=rows.counts.device),
        pre_acts=torch.empty(n_entries, dtype=torch.float32, device=rows.counts.device),
        d_sae=d_sae,
    )
    to_values = torch.empty_like(support.pre_acts)
    _pack_kernel[(n_tokens,)](
        rows.feature_ids,
        rows.pre_acts,
        partial_gradients,
        support.token_offsets,
        support.feature_ids,
        support.pre_acts,
        to_values,
        capacity,
        n_tokens * capacity,
        N_TILES=n_tiles,
        BLOCK=BLOCK_ENTRIES,
        num_warps=1,
    )
    return support, to_values


@triton.jit
@no_type_check
def _compact_kernel(
    pre_acts_ptr,
    b_enc_ptr,
    threshold_ptr,
    feature_ids_ptr,
    values_ptr,
    counts_ptr,
    active_counts_ptr,
    d_sae,
    capacity,
    half_window,
    BLOCK: tl.constexpr,
):
    token = tl.program_id(0).to(tl.int64)
    n_kept = 0
    n_active = 0
    for start in range(0, d_sae, BLOCK):
        features = start + tl.arange(0, BLOCK)
        inside = features < d_sae
        pre_acts = tl.load(pre_acts_ptr + token * d_sae + features, mask=inside, other=float("-inf")).to(tl.float32)
        pre_acts += tl.load(b_enc_ptr + features, mask=inside, other=0.0)
        threshold = tl.load(threshold_ptr + features, mask=inside, other=0.0)
        active = inside & (pre_acts > threshold)
        kept = active | (inside & (tl.abs(pre_acts - threshold) < half_window))
        slots = n_kept + tl.cumsum(kept.to(tl.int32), 0) - 1
        fits = kept & (slots < capacity)
        tl.store(feature_ids_ptr + token * capacity + slots, features, mask=fits)
        tl.store(values_ptr + token * capacity + slots, pre_acts, mask=fits)
        n_kept += tl.sum(kept.to(tl.int32), 0)
        n_active += tl.sum(active.to(tl.int32), 0)
    tl.store(counts_ptr + token, n_kept)
    tl.store(active_counts_ptr + token, n_active)


@triton.jit
@no_type_check
def _pack_kernel(
    feature_ids_ptr,
    values_ptr,
    gradients_ptr,
    offsets_ptr,
    packed_feature_ids_ptr,
    packed_values_ptr,
    packed_gradients_ptr,
    capacity,
    tile_stride,
    N_TILES: tl.constexpr,
    BLOCK: tl.constexpr,
):
    token = tl.program_id(0).to(tl.int64)
    begin = tl.load(offsets_ptr + token)
    count = tl.load(offsets_ptr + token + 1) - begin
    for start in range(0, count, BLOCK):
        slots = start + tl.arange(0, BLOCK)
        inside = slots < count
        source = token * capacity + slots
        tl.store(packed_feature_ids_ptr + begin + slots, tl.load(feature_ids_ptr + source, mask=inside), mask=inside)
        tl.store(packed_values_ptr + begin + slots, tl.load(values_ptr + source, mask=inside), mask=inside)
        gradient = tl.load(gradients_ptr + source, mask=inside)
        for tile in tl.static_range(1, N_TILES):
            gradient += tl.load(gradients_ptr + tile * tile_stride + source, mask=inside)
        tl.store(packed_gradients_ptr + begin + slots, gradient, mask=inside)
