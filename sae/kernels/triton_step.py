"""A training step by the Triton kernels: compaction, decode, entry algebra, columns, and Adam where it is fused in.

The host asks the device one thing, after the decode kernel is under way: how many entries there are, and whether a
row overflowed. If one did, nothing has been written, and the caller takes another path.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from sae.kernels.batch_support import BatchSupport
from sae.kernels.entry_gradients import EntryGradients, entry_gradients
from sae.kernels.loss import LossSettings, StepStatistics, WeightGradients, token_scales
from sae.kernels.shadows import BFloat16Shadows
from sae.kernels.triton_adam import adam_step_of_rows
from sae.kernels.triton_columns import Columns, feature_columns, row_gradients
from sae.kernels.triton_compaction import EntryRows, compact_rows, empty_rows, pack_rows
from sae.kernels.triton_decode import Decoded, decode_rows
from sae.kernels.weights import DictionaryWeights

__all__ = ["RowOverflowError", "triton_gradients", "triton_update"]

CHUNK_BYTES = 2**31


class RowOverflowError(Exception):
    """A token has more entries than its row holds; nothing was written.

    Args:
        density: Share of tokens * d_sae that the support has.
    """

    def __init__(self, density: float) -> None:
        super().__init__(f"a token has more entries than fit; density {density}")
        self.density = density


@torch.no_grad()
def triton_gradients(
    weights: DictionaryWeights,
    x: Float[Tensor, "tokens d_model"],
    loss: LossSettings,
    *,
    capacity: int,
    dead: Bool[Tensor, " d_sae"] | None = None,
    pre_acts: Float[Tensor, "tokens d_sae"] | None = None,
    emphasis: Float[Tensor, "tokens 1"] | None = None,
    shadows: BFloat16Shadows | None = None,
) -> tuple[StepStatistics, WeightGradients]:
    """`sae.kernels.reference.training_loss` and its gradients. Other arguments as in `loss_and_gradients`.

    Args:
        weights: float32 masters.
        x: float32.
        loss: What is minimised.
        capacity: Entries that a token may have.
        dead: Features that the pre-activation loss pulls up.
        pre_acts: Pre-activations of the batch, where they are known already.
        emphasis: Of each token.
        shadows: What the products and the gathers read in place of the masters.

    Raises:
        RowOverflowError: A token has more entries than `capacity`.
    """
    if pre_acts is None:
        rows = _compacted(weights, x, loss, capacity, shadows)
    else:
        rows = _selected(weights, pre_acts, loss, capacity)
    step = _forward(weights, x, loss, rows, dead=dead, emphasis=emphasis, shadows=shadows)
    encoder_rows, decoder_rows = row_gradients(step.columns, weights.decoder_rows, step.entries.row_terms)
    return step.statistics, WeightGradients(
        encoder_rows=encoder_rows,
        b_enc=step.entries.b_enc,
        decoder_rows=decoder_rows,
        b_dec=step.b_dec,
        threshold=step.entries.threshold,
    )


@torch.no_grad()
def triton_update(
    weights: DictionaryWeights,
    x: Float[Tensor, "tokens d_model"],
    loss: LossSettings,
    optimiser: torch.optim.Adam,
    *,
    capacity: int,
    dead: Bool[Tensor, " d_sae"] | None = None,
    emphasis: Float[Tensor, "tokens 1"] | None = None,
    shadows: BFloat16Shadows | None = None,
    normalise_decoder: bool = True,
) -> StepStatistics:
    """Move both matrices by one Adam step and set `.grad` of the other weights, for the optimiser to move them.

    Arguments are those of `triton_gradients` and `adam_step_of_rows`.

    Raises:
        RowOverflowError: A token has more entries than `capacity`; nothing was moved.
    """
    rows = _compacted(weights, x, loss, capacity, shadows)
    step = _forward(weights, x, loss, rows, dead=dead, emphasis=emphasis, shadows=shadows)
    adam_step_of_rows(
        weights,
        step.columns,
        step.entries.row_terms,
        optimiser,
        normalise_decoder=normalise_decoder,
        shadows=shadows,
    )
    weights.encoder_rows.grad = weights.decoder_rows.grad = None
    weights.b_enc.grad, weights.b_dec.grad = step.entries.b_enc, step.b_dec
    weights.threshold.grad = step.entries.threshold
    return step.statistics


@dataclass(frozen=True, eq=False)
class _Forward:
    """All of a step between its entries and what is done with the rows' gradients."""

    statistics: StepStatistics
    entries: EntryGradients
    columns: Columns
    b_dec: Tensor


def _forward(
    weights: DictionaryWeights,
    x: Tensor,
    loss: LossSettings,
    rows: EntryRows,
    *,
    dead: Tensor | None,
    emphasis: Tensor | None,
    shadows: BFloat16Shadows | None,
) -> _Forward:
    totals = _Totals.of(rows)
    decoded = _decoded(weights, x, loss, rows, emphasis, shadows)
    n_entries, n_active = totals.read(rows.capacity, len(x) * weights.d_sae)
    support, to_values = pack_rows(rows, decoded.partial_gradients, n_entries=n_entries, d_sae=weights.d_sae)
    batch = BatchSupport(weights, x, loss, dead, support)
    entries = entry_gradients(batch, to_values)
    columns = feature_columns(
        support,
        batch.feature_acts,
        entries.to_pre_acts,
        r=decoded.r,
        x=x if shadows is None else x.bfloat16(),
    )
    n_gathered = n_entries if loss.gathers_window else n_active
    statistics = StepStatistics(
        squared_error=decoded.squared_error.mean(),
        penalty=entries.penalty,
        l0=n_active / len(x),
        fire_counts=batch.fire_counts.long(),
        window_counts=batch.window_counts.long(),
        kernel="triton",
        density=n_gathered / (len(x) * weights.d_sae),
    )
    return _Forward(statistics, entries, columns, b_dec=decoded.r.float().sum(0))


def _compacted(
    weights: DictionaryWeights, x: Tensor, loss: LossSettings, capacity: int, shadows: BFloat16Shadows | None
) -> EntryRows:
    """Entries of each token, the pre-activations being computed for some tokens at a time."""
    rows = empty_rows(len(x), capacity, x.device)
    at_a_time = max(1, CHUNK_BYTES // (4 * weights.d_sae))
    for first in range(0, len(x), at_a_time):
        part = x[first : first + at_a_time]
        products = part @ weights.encoder_rows.T if shadows is None else shadows.products(part)
        compact_rows(products, weights.b_enc, weights.threshold, rows, bandwidth=loss.bandwidth, first_token=first)
    return rows


def _selected(weights: DictionaryWeights, pre_acts: Tensor, loss: LossSettings, capacity: int) -> EntryRows:
    """Entries of each token, from pre-activations that have their bias."""
    rows = empty_rows(len(pre_acts), capacity, pre_acts.device)
    no_bias = torch.zeros_like(weights.b_enc)
    compact_rows(pre_acts.contiguous(), no_bias, weights.threshold, rows, bandwidth=loss.bandwidth)
    return rows


def _decoded(
    weights: DictionaryWeights,
    x: Tensor,
    loss: LossSettings,
    rows: EntryRows,
    emphasis: Tensor | None,
    shadows: BFloat16Shadows | None,
) -> Decoded:
    scales = torch.as_tensor(token_scales(emphasis, len(x), loss.error_weight), dtype=torch.float32, device=x.device)
    return decode_rows(
        rows,
        x,
        weights.decoder_rows if shadows is None else shadows.decoder_rows,
        weights.b_dec,
        weights.threshold,
        scales.expand(len(x), 1).squeeze(1).contiguous(),
        gathers_window=loss.gathers_window,
        r_dtype=torch.float32 if shadows is None else torch.bfloat16,
    )


@dataclass(frozen=True, eq=False)
class _Totals:
    """Counts on their way to the host: behind the compaction, ahead of everything launched after it."""

    values: Int64[Tensor, " three"]
    arrived: torch.cuda.Event | None

    @classmethod
    def of(cls, rows: EntryRows) -> "_Totals":
        on_device = torch.stack([rows.counts.sum(), rows.counts.max().long(), rows.active_counts.sum()])
        if on_device.device.type != "cuda":
            return cls(on_device, None)
        values = torch.empty(3, dtype=torch.int64, pin_memory=True).copy_(on_device, non_blocking=True)
        arrived = torch.cuda.Event()
        arrived.record()
        return cls(values, arrived)

    def read(self, capacity: int, n_cells: int) -> tuple[int, int]:
        """Entries and active entries of the batch; waits for the compaction alone."""
        if self.arrived is not None:
            self.arrived.synchronize()
        n_entries, longest_row, n_active = self.values.tolist()
        if longest_row > capacity:
            raise RowOverflowError(n_entries / n_cells)
        return n_entries, n_active
