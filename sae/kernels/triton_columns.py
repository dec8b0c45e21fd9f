"""Triton: for each feature the sums over its tokens that are its rows' gradients, in one fixed order.

Entries are sorted by (feature, token) and one program adds a feature's entries one after another, so no float is
ever added atomically and two runs give the same bits. A long column is cut into chunks of fixed length, which are
summed side by side and then added in order; one hot feature does not hold up the rest.
"""

from dataclasses import dataclass

import torch
import triton
from jaxtyping import Float, Int32, Int64
from torch import Tensor

from sae.kernels.entry_gradients import RowTerms
from sae.kernels.support import Support, offsets_of_groups
from sae.kernels.triton_column_kernels import chunk_kernel, gradient_kernel
from sae.kernels.triton_decode import tile_width

__all__ = ["Columns", "column_arguments", "feature_columns", "row_gradients", "term_arguments"]

CHUNK_ENTRIES = 256
ENTRIES_AT_A_TIME = 8


@dataclass(frozen=True, eq=False)
class Columns:
    """A batch's entries sorted by feature, with the sums of long columns' chunks.

    Attributes:
        offsets: Where each feature's entries begin.
        token_ids: Of each entry.
        values: Feature activation of each entry; 0 where it is not active.
        to_pre_acts: Gradient to each entry's pre-activation.
        r: Gradient of each token's reconstruction.
        x: Activations.
        chunk_offsets: Where each long feature's chunks begin.
        decoder_chunks: Of every chunk the sum of its feature activations times r.
        encoder_chunks: Of every chunk the sum of its gradients times x.
    """

    offsets: Int32[Tensor, " features_and_end"]
    token_ids: Int32[Tensor, " entries"]
    values: Float[Tensor, " entries"]
    to_pre_acts: Float[Tensor, " entries"]
    r: Float[Tensor, "tokens d_model"]
    x: Float[Tensor, "tokens d_model"]
    chunk_offsets: Int32[Tensor, " features_and_end"]
    decoder_chunks: Float[Tensor, "chunks d_model"]
    encoder_chunks: Float[Tensor, "chunks d_model"]


def feature_columns(
    support: Support,
    values: Float[Tensor, " entries"],
    to_pre_acts: Float[Tensor, " entries"],
    *,
    r: Float[Tensor, "tokens d_model"],
    x: Float[Tensor, "tokens d_model"],
) -> Columns:
    """Sort the entries by feature and sum the chunks of long columns; arguments as in `Columns`."""
    order = support.feature_order
    counts = support.feature_counts
    chunk_counts = torch.where(counts > CHUNK_ENTRIES, (counts + CHUNK_ENTRIES - 1) // CHUNK_ENTRIES, 0)
    # at most this many whatever the counts are, so that the device need not be asked
    n_chunks = 2 * len(support.feature_ids) // CHUNK_ENTRIES + 1
    columns = Columns(
        offsets=support.feature_offsets,
        token_ids=support.token_ids.index_select(0, order),
        values=values.index_select(0, order),
        to_pre_acts=to_pre_acts.index_select(0, order),
        r=r,
        x=x,
        chunk_offsets=offsets_of_groups(chunk_counts),
        decoder_chunks=torch.empty(n_chunks, x.shape[1], dtype=torch.float32, device=x.device),
        encoder_chunks=torch.empty(n_chunks, x.shape[1], dtype=torch.float32, device=x.device),
    )
    _sum_chunks(columns)
    return columns


def row_gradients(
    columns: Columns, decoder_rows: Float[Tensor, "d_sae d_model"], terms: RowTerms | None
) -> tuple[Float[Tensor, "d_sae d_model"], Float[Tensor, "d_sae d_model"]]:
    """Gradients of the encoder's and of the decoder's rows."""
    d_sae, d_model = decoder_rows.shape
    encoder_gradient, decoder_gradient = torch.empty_like(decoder_rows), torch.empty_like(decoder_rows)
    width = tile_width(d_model)
    gradient_kernel[(d_sae, triton.cdiv(d_model, width))](
        *column_arguments(columns),
        *term_arguments(columns, terms),
        decoder_rows,
        encoder_gradient,
        decoder_gradient,
        d_model,
        HAS_TERMS=terms is not None,
        CHUNK=CHUNK_ENTRIES,
        ENTRIES=ENTRIES_AT_A_TIME,
        WIDTH=width,
        num_warps=4,
    )
    return encoder_gradient, decoder_gradient


def column_arguments(columns: Columns) -> tuple[Tensor, ...]:
    """The tensors that `row_gradient` takes first."""
    return (
        columns.offsets,
        columns.token_ids,
        columns.values,
        columns.to_pre_acts,
        columns.r,
        columns.x,
        columns.chunk_offsets,
        columns.decoder_chunks,
        columns.encoder_chunks,
    )


def term_arguments(columns: Columns, terms: RowTerms | None) -> tuple[Tensor, ...]:
    """The tensors that `row_gradient` takes next; unread where there are no terms."""
    if terms is None:
        return (columns.x, columns.x, columns.x)
    return (terms.decoder_scale, terms.encoder_rate, terms.x_sum)


def _sum_chunks(columns: Columns) -> None:
    n_chunks, d_model = columns.decoder_chunks.shape
    width = tile_width(d_model)
    chunk_features = _features_of_chunks(columns.chunk_offsets, n_chunks)
    chunk_kernel[(n_chunks, triton.cdiv(d_model, width))](
        *column_arguments(columns),
        chunk_features,
        d_model,
        len(columns.offsets) - 1,
        CHUNK=CHUNK_ENTRIES,
        ENTRIES=ENTRIES_AT_A_TIME,
        WIDTH=width,
        num_warps=4,
    )


def _features_of_chunks(chunk_offsets: Int32[Tensor, " ends"], n_chunks: int) -> Int64[Tensor, " chunks"]:
    """The feature of each chunk; d_sae for the chunks that are not used."""
    chunks = torch.arange(n_chunks, dtype=torch.int32, device=chunk_offsets.device)
    return torch.searchsorted(chunk_offsets, chunks, right=True) - 1
