"""Triton: Adam on both rows of a feature while their gradients are still in registers.

The state is that of a `torch.optim.Adam`, so a checkpoint does not tell which way its steps were taken. Gradients are
never written, which at 65 thousand features saves as much traffic as the decode kernel.
"""

from typing import Any, no_type_check

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.nn import Parameter

from sae.kernels.entry_gradients import RowTerms
from sae.kernels.shadows import BFloat16Shadows
from sae.kernels.triton_column_kernels import row_gradient
from sae.kernels.triton_columns import (
    CHUNK_ENTRIES,
    ENTRIES_AT_A_TIME,
    Columns,
    column_arguments,
    term_arguments,
)
from sae.kernels.triton_decode import tile_width
from sae.kernels.weights import DictionaryWeights

__all__ = ["adam_step_of_rows"]


def adam_step_of_rows(
    weights: DictionaryWeights,
    columns: Columns,
    terms: RowTerms | None,
    optimiser: torch.optim.Adam,
    *,
    normalise_decoder: bool,
    shadows: BFloat16Shadows | None,
) -> None:
    """Move the encoder's and the decoder's rows by one Adam step, in place; the other weights are left alone.

    Args:
        weights: Both matrices are moved.
        columns: The batch's entries by feature.
        terms: What the rows' gradients have beside them.
        optimiser: Holds both matrices; its state is read and written.
        normalise_decoder: Whether decoder rows are scaled to unit length after the step.
        shadows: Rewritten with the new rows.

    Raises:
        ValueError: The optimiser does not hold a matrix, or has an option that the kernel lacks.
    """
    matrices = weights.encoder_rows, weights.decoder_rows
    groups = [_group_of(optimiser, matrix) for matrix in matrices]
    encoder, decoder = (_AdamRow(optimiser, *pair) for pair in zip(matrices, groups, strict=True))
    d_sae, d_model = weights.decoder_rows.shape
    width = tile_width(d_model)
    _adam_kernel[(d_sae,)](
        *column_arguments(columns),
        *term_arguments(columns, terms),
        weights.decoder_rows,
        weights.encoder_rows,
        *encoder.tensors(),
        *decoder.tensors(),
        weights.encoder_rows if shadows is None else shadows.encoder_rows,
        weights.decoder_rows if shadows is None else shadows.decoder_rows,
        d_model,
        *encoder.numbers(),
        *decoder.numbers(),
        HAS_TERMS=terms is not None,
        HAS_SHADOWS=shadows is not None,
        NORMALISE=normalise_decoder,
        N_TILES=triton.cdiv(d_model, width),
        CHUNK=CHUNK_ENTRIES,
        ENTRIES=ENTRIES_AT_A_TIME,
        WIDTH=width,
        num_warps=4,
    )


class _AdamRow:
    """One matrix's part in a `torch.optim.Adam`: hyperparameters and state, advanced by one step."""

    def __init__(self, optimiser: torch.optim.Adam, parameter: Parameter, group: dict[str, Any]) -> None:
        self.group = group
        self.state = _state_of(optimiser, parameter, self.group)
        self.state["step"] += 1

    def tensors(self) -> tuple[Tensor, Tensor, Tensor]:
        """Both moments and, on the device, the step's bias corrections."""
        beta1, beta2 = self.group["betas"]
        step = self.state["step"].double()
        corrections = torch.stack([self.group["lr"] / (1 - beta1**step), (1 - beta2**step).sqrt()])
        moments = self.state["exp_avg"], self.state["exp_avg_sq"]
        return (*moments, corrections.to(moments[0].device, torch.float32, non_blocking=True))

    def numbers(self) -> tuple[float, float, float, float]:
        """1 - beta1, beta2, 1 - beta2, eps: differences are taken here, in double precision."""
        beta1, beta2 = self.group["betas"]
        return float(1 - beta1), float(beta2), float(1 - beta2), float(self.group["eps"])


def _group_of(optimiser: torch.optim.Adam, parameter: Parameter) -> dict[str, Any]:
    for group in optimiser.param_groups:
        if any(held is parameter for held in group["params"]):
            for option in ("amsgrad", "maximize", "weight_decay"):
                if group.get(option):
                    raise ValueError(f"the optimiser has {option}={group[option]}, expected none in a fused step")
            return group
    raise ValueError(
        f"the optimiser lacks a weight of shape {tuple(parameter.shape)}, expected it to hold both matrices"
    )


def _state_of(optimiser: torch.optim.Adam, parameter: Parameter, group: dict[str, Any]) -> dict[str, Tensor]:
    """The parameter's state, made as torch makes it where the parameter was never moved."""
    state = optimiser.state[parameter]
    if not state:
        on_device = group.get("fused") or group.get("capturable")
        state["step"] = torch.zeros((), dtype=torch.float32, device=parameter.device if on_device else "cpu")
        state["exp_avg"] = torch.zeros_like(parameter, memory_format=torch.preserve_format)
        state["exp_avg_sq"] = torch.zeros_like(parameter, memory_format=torch.preserve_format)
    return state


@triton.jit
@no_type_check
def _moved(
    row,
    gradient,
    exp_avg_ptr,
    exp_avg_sq_ptr,
    corrections_ptr,
    offsets,
    in_row,
    one_minus_beta1,
    beta2,
    one_minus_beta2,
    eps,
):
    """A tile of a row after an Adam step; writes its moments."""
    exp_avg = tl.load(exp_avg_ptr + offsets, mask=in_row, other=0.0)
    exp_avg += (gradient - exp_avg) * one_minus_beta1
    exp_avg_sq = tl.load(exp_avg_sq_ptr + offsets, mask=in_row, other=0.0)
    exp_avg_sq = beta2 * exp_avg_sq + one_minus_beta2 * gradient * gradient
    tl.store(exp_avg_ptr + offsets, exp_avg, mask=in_row)
    tl.store(exp_avg_sq_ptr + offsets, exp_avg_sq, mask=in_row)
    step_size = tl.load(corrections_ptr)
    return row - step_size * exp_avg / (tl.sqrt(exp_avg_sq) / tl.load(corrections_ptr + 1) + eps)


@triton.jit
@no_type_check
def _adam_kernel(
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
    encoder_ptr,
    encoder_exp_avg_ptr,
    encoder_exp_avg_sq_ptr,
    encoder_corrections_ptr,
    decoder_exp_avg_ptr,
    decoder_exp_avg_sq_ptr,
    decoder_corrections_ptr,
    encoder_shadow_ptr,
    decoder_shadow_ptr,
    d_model,
    encoder_one_minus_beta1,
    encoder_beta2,
    encoder_one_minus_beta2,
    encoder_eps,
    decoder_one_minus_beta1,
    decoder_beta2,
    decoder_one_minus_beta2,
    decoder_eps,
    HAS_TERMS: tl.constexpr,
    HAS_SHADOWS: tl.constexpr,
    NORMALISE: tl.constexpr,
    N_TILES: tl.constexpr,
    CHUNK: tl.constexpr,
    ENTRIES: tl.constexpr,
    WIDTH: tl.constexpr,
):
    feature = tl.program_id(0).to(tl.int64)
    squared_norm = 0.0
    for tile in range(N_TILES):
        columns = tile * WIDTH + tl.arange(0, WIDTH)
        in_row = columns < d_model
        offsets = feature * d_model + columns
        decoder_gradient, encoder_gradient = row_gradient(
            feature, columns, in_row, offsets_ptr, tokens_ptr, values_ptr, to_pre_acts_ptr, r_ptr, x_ptr,
            chunk_offsets_ptr, decoder_chunks_ptr, encoder_chunks_ptr, decoder_scale_ptr, encoder_rate_ptr,
            x_sum_ptr, decoder_ptr, d_model, HAS_TERMS, CHUNK, ENTRIES, WIDTH,
        )  # fmt: skip
        encoder = _moved(
            tl.load(encoder_ptr + offsets, mask=in_row, other=0.0), encoder_gradient, encoder_exp_avg_ptr,
            encoder_exp_avg_sq_ptr, encoder_corrections_ptr, offsets, in_row, encoder_one_minus_beta1, encoder_beta2,
            encoder_one_minus_beta2, encoder_eps,
        )  # fmt: skip
        decoder = _moved(
            tl.load(decoder_ptr + offsets, mask=in_row, other=0.0), decoder_gradient, decoder_exp_avg_ptr,
            decoder_exp_avg_sq_ptr, decoder_corrections_ptr, offsets, in_row, decoder_one_minus_beta1, decoder_beta2,
            decoder_one_minus_beta2, decoder_eps,
        )  # fmt: skip
        squared_norm += tl.sum(tl.where(in_row, decoder * decoder, 0.0), 0)
        tl.store(encoder_ptr + offsets, encoder, mask=in_row)
        tl.store(decoder_ptr + offsets, decoder, mask=in_row)
        if HAS_SHADOWS:
            tl.store(encoder_shadow_ptr + offsets, encoder.to(tl.bfloat16), mask=in_row)
            if not NORMALISE:
                tl.store(decoder_shadow_ptr + offsets, decoder.to(tl.bfloat16), mask=in_row)
    if NORMALISE:
        # the row's first tiles must be written before they are read back
        tl.debug_barrier()
        scale = 1.0 / tl.maximum(tl.sqrt(squared_norm), 1e-12)
        for tile in range(N_TILES):
            columns = tile * WIDTH + tl.arange(0, WIDTH)
            in_row = columns < d_model
            offsets = feature * d_model + columns
            decoder = tl.load(decoder_ptr + offsets, mask=in_row, other=0.0) * scale
            tl.store(decoder_ptr + offsets, decoder, mask=in_row)
            if HAS_SHADOWS:
                tl.store(decoder_shadow_ptr + offsets, decoder.to(tl.bfloat16), mask=in_row)
