"""Triton: sums over the entries of a feature, the device side of `triton_columns`.

`row_gradient` is a part of two kernels: the one that writes gradients, and Adam's, which needs them in registers.
"""

from typing import no_type_check

import triton
import triton.language as tl

__all__ = ["chunk_kernel", "gradient_kernel", "row_gradient"]


@triton.jit
@no_type_check
def _sum_entries(
    begin,
    end,
    tokens_ptr,
    values_ptr,
    to_pre_acts_ptr,
    r_ptr,
    x_ptr,
    columns,
    in_row,
    d_model,
    ENTRIES: tl.constexpr,
    WIDTH: tl.constexpr,
):
    """Sums over the entries from begin to end: z r for the decoder, dpi x for the encoder."""
    decoder_sum = tl.zeros([WIDTH], dtype=tl.float32)
    encoder_sum = tl.zeros([WIDTH], dtype=tl.float32)
    for start in range(begin, end, ENTRIES):
        slots = start + tl.arange(0, ENTRIES)
        inside = slots < end
        tokens = tl.load(tokens_ptr + slots, mask=inside, other=0).to(tl.int64)
        values = tl.load(values_ptr + slots, mask=inside, other=0.0)
        to_pre_acts = tl.load(to_pre_acts_ptr + slots, mask=inside, other=0.0)
        offsets = tokens[:, None] * d_model + columns[None, :]
        # rows that would be multiplied by zero are not read
        r = tl.load(r_ptr + offsets, mask=(values != 0.0)[:, None] & in_row[None, :], other=0.0).to(tl.float32)
        x = tl.load(x_ptr + offsets, mask=(to_pre_acts != 0.0)[:, None] & in_row[None, :], other=0.0).to(tl.float32)
        decoder_sum += tl.sum(values[:, None] * r, 0)
        encoder_sum += tl.sum(to_pre_acts[:, None] * x, 0)
    return decoder_sum, encoder_sum


@triton.jit
@no_type_check
def chunk_kernel(
    offsets_ptr,
    tokens_ptr,
    values_ptr,
    to_pre_acts_ptr,
    r_ptr,
    x_ptr,
    chunk_offsets_ptr,
    decoder_chunks_ptr,
    encoder_chunks_ptr,
    chunk_features_ptr,
    d_model,
    d_sae,
    CHUNK: tl.constexpr,
    ENTRIES: tl.constexpr,
    WIDTH: tl.constexpr,
):
    """Sums of one chunk of a long column."""
    chunk = tl.program_id(0).to(tl.int64)
    feature = tl.load(chunk_features_ptr + chunk)
    if feature < d_sae:
        columns = tl.program_id(1) * WIDTH + tl.arange(0, WIDTH)
        in_row = columns < d_model
        place = (chunk - tl.load(chunk_offsets_ptr + feature)).to(tl.int32)
        begin = tl.load(offsets_ptr + feature) + place * CHUNK
        end = tl.minimum(begin + CHUNK, tl.load(offsets_ptr + feature + 1))
        decoder_sum, encoder_sum = _sum_entries(
            begin, end, tokens_ptr, values_ptr, to_pre_acts_ptr, r_ptr, x_ptr, columns, in_row, d_model, ENTRIES, WIDTH
        )
        tl.store(decoder_chunks_ptr + chunk * d_model + columns, decoder_sum, mask=in_row)
        tl.store(encoder_chunks_ptr + chunk * d_model + columns, encoder_sum, mask=in_row)


@triton.jit
@no_type_check
def row_gradient(
    feature,
    columns,
    in_row,
    offsets_ptr,
    tokens_ptr,
    values_ptr,
    to_pre_acts_ptr,
    r_ptr,
    x_ptr,
    chunk_offsets_ptr,
    decoder_chunks_ptr,
    encoder_chunks_ptr,
    decoder_scale_ptr,
    encoder_rate_ptr,
    x_sum_ptr,
    decoder_ptr,
    d_model,
    HAS_TERMS: tl.constexpr,
    CHUNK: tl.constexpr,
    ENTRIES: tl.constexpr,
    WIDTH: tl.constexpr,
):
    """A tile of a feature's gradients: of its decoder row, of its encoder row."""
    begin = tl.load(offsets_ptr + feature)
    end = tl.load(offsets_ptr + feature + 1)
    is_long = end - begin > CHUNK
    decoder_sum, encoder_sum = _sum_entries(
        begin,
        tl.where(is_long, begin, end),
        tokens_ptr,
        values_ptr,
        to_pre_acts_ptr,
        r_ptr,
        x_ptr,
        columns,
        in_row,
        d_model,
        ENTRIES,
        WIDTH,
    )
    for chunk in range(tl.load(chunk_offsets_ptr + feature), tl.load(chunk_offsets_ptr + feature + 1)):
        decoder_sum += tl.load(decoder_chunks_ptr + chunk * d_model + columns, mask=in_row, other=0.0)
        encoder_sum += tl.load(encoder_chunks_ptr + chunk * d_model + columns, mask=in_row, other=0.0)
    if HAS_TERMS:
        decoder = tl.load(decoder_ptr + feature * d_model + columns, mask=in_row, other=0.0)
        decoder_sum += tl.load(decoder_scale_ptr + feature) * decoder
        encoder_sum -= tl.load(encoder_rate_ptr + feature) * tl.load(x_sum_ptr + columns, mask=in_row, other=0.0)
    return decoder_sum, encoder_sum


@triton.jit
@no_type_check
def gradient_kernel(
    offsets_ptr,
    tokens_ptr,
    values_ptr,
    to_pre_acts_ptr,
    r_ptr,
    x_ptr,
    chunk_offsets_ptr,
    decoder_chunks_ptr,
    encoder_chunks_ptr,
    decoder_scale_ptr,
    encoder_rate_ptr,
    x_sum_ptr,
    decoder_ptr,
    encoder_gradient_ptr,
    decoder_gradient_ptr,
    d_model,
    HAS_TERMS: tl.constexpr,
    CHUNK: tl.constexpr,
    ENTRIES: tl.constexpr,
    WIDTH: tl.constexpr,
):
    """A tile of a feature's gradients, written to memory."""
    feature = tl.program_id(0).to(tl.int64)
    columns = tl.program_id(1) * WIDTH + tl.arange(0, WIDTH)
    in_row = columns < d_model
    decoder_gradient, encoder_gradient = row_gradient(
        feature,
        columns,
        in_row,
        offsets_ptr,
        tokens_ptr,
        values_ptr,
        to_pre_acts_ptr,
        r_ptr,
        x_ptr,
        chunk_offsets_ptr,
        decoder_chunks_ptr,
        encoder_chunks_ptr,
        decoder_scale_ptr,
        encoder_rate_ptr,
        x_sum_ptr,
        decoder_ptr,
        d_model,
        HAS_TERMS,
        CHUNK,
        ENTRIES,
        WIDTH,
    )
    tl.store(encoder_gradient_ptr + feature * d_model + columns, encoder_gradient, mask=in_row)
    tl.store(decoder_gradient_ptr + feature * d_model + columns, decoder_gradient, mask=in_row)
