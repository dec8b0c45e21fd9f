"""What flows back to single entries of the support, and what a row's gradient has beside their sum.

Numbers per entry, per feature and per token only; rows are gathered elsewhere, by torch or by Triton.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from sae.kernels.batch_support import BatchSupport
from sae.kernels.loss import l0_penalty, step_gradients
from sae.kernels.sparse_products import feature_sums

__all__ = ["EntryGradients", "RowTerms", "entry_gradients"]


@dataclass(frozen=True, eq=False)
class RowTerms:
    """What the gradients of a feature's rows have beside the sums over its entries.

    Attributes:
        decoder_scale: What of each decoder row is added to its gradient.
        encoder_rate: Minus the outer product of this with `x_sum` is added to the encoder's gradient.
        x_sum: Sum of the batch's activations.
    """

    decoder_scale: Float[Tensor, " d_sae"]
    encoder_rate: Float[Tensor, " d_sae"]
    x_sum: Float[Tensor, " d_model"]


@dataclass(frozen=True, eq=False)
class EntryGradients:
    """Gradients to everything but the rows and the decoder's bias.

    Attributes:
        to_pre_acts: Of each entry.
        b_enc: Of the encoder's bias.
        threshold: Of the thresholds.
        row_terms: None where the rows' gradients are the sums over their entries.
        penalty: Everything in the loss but the squared error.
    """

    to_pre_acts: Float[Tensor, " entries"]
    b_enc: Float[Tensor, " d_sae"]
    threshold: Float[Tensor, " d_sae"]
    row_terms: RowTerms | None
    penalty: Float[Tensor, ""]


def entry_gradients(batch: BatchSupport, to_values: Float[Tensor, " entries"]) -> EntryGradients:
    """Pass the gradients of the feature activations and of the step on to what they depend on.

    Args:
        batch: The step.
        to_values: Gradient of the reconstruction to each entry's activation; outside the active set it is read
            only where the loss gathers the window.
    """
    penalty, decoder_scale = l0_penalty(batch.penalised_l0, batch.loss), None
    if batch.loss.sparsity == "tanh":
        value, slopes, decoder_scale = _tanh_penalty(batch)
        to_values, penalty = to_values + slopes, penalty + value
    to_pre_acts, to_threshold = _through_the_jump(batch, to_values)
    gradients = EntryGradients(
        to_pre_acts=to_pre_acts,
        b_enc=feature_sums(batch.support, to_pre_acts),
        threshold=to_threshold,
        row_terms=None if decoder_scale is None else _decoder_terms(batch, decoder_scale),
        penalty=penalty,
    )
    if batch.dead is None or not batch.loss.pre_act_coefficient:
        return gradients
    return _with_pre_act_loss(batch, gradients)


def _through_the_jump(batch: BatchSupport, to_values: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients to the pre-activations of entries and to the thresholds of features."""
    loss = batch.loss
    to_steps = step_gradients(batch.l0, loss).index_select(0, batch.support.token_ids)
    to_steps = to_steps if batch.costs is None else to_steps * batch.costs
    jump = to_steps + batch.thresholds * to_values if loss.gathers_window else to_steps
    density = batch.window.to(to_values.dtype) / loss.bandwidth
    to_threshold = (jump if loss.reconstruction_moves_threshold else to_steps) * density
    to_pre_acts = torch.where(batch.active, to_values, 0)
    if loss.gradient_through_window:
        to_pre_acts = to_pre_acts + jump * density
    return to_pre_acts, -feature_sums(batch.support, to_threshold)


def _tanh_penalty(batch: BatchSupport) -> tuple[Tensor, Tensor, Tensor]:
    """The penalty, its gradient to each entry's activation, and what of each decoder row is its gradient."""
    norms = batch.weights.decoder_rows.norm(dim=1)
    of_entries = norms.index_select(0, batch.support.feature_ids)
    share = batch.loss.coefficient / len(batch.x)
    tanh = torch.tanh(batch.loss.tanh_scale * batch.feature_acts * of_entries)
    slope = (1 - tanh.square()) * (share * batch.loss.tanh_scale)
    return share * tanh.sum(), slope * of_entries, feature_sums(batch.support, slope * batch.feature_acts) / norms


def _decoder_terms(batch: BatchSupport, decoder_scale: Tensor) -> RowTerms:
    return RowTerms(decoder_scale, torch.zeros_like(decoder_scale), torch.zeros_like(batch.x[0]))


def _with_pre_act_loss(batch: BatchSupport, gradients: EntryGradients) -> EntryGradients:
    """Add the pre-activation loss: dense on its face, sparse as all tokens less the active ones.

    Every token counts in `encoder_rate`, and active entries give back what that takes from them.
    """
    weights, n_tokens = batch.weights, len(batch.x)
    share = batch.loss.pre_act_coefficient / n_tokens
    norms = weights.decoder_rows.norm(dim=1)
    rate = share * norms * batch.dead
    x_sum = batch.x.sum(0)
    inactive = n_tokens - batch.fire_counts
    all_pre_acts = torch.mv(weights.encoder_rows, x_sum) + n_tokens * weights.b_enc
    inactive_pre_acts = all_pre_acts - feature_sums(batch.support, batch.feature_acts)
    distances = inactive * weights.threshold - inactive_pre_acts
    returned = rate.index_select(0, batch.support.feature_ids) * batch.active
    scale = rate * distances / norms.square()
    return EntryGradients(
        to_pre_acts=gradients.to_pre_acts + returned,
        b_enc=gradients.b_enc - rate * inactive,
        threshold=gradients.threshold + rate * inactive,
        row_terms=RowTerms(
            scale if gradients.row_terms is None else scale + gradients.row_terms.decoder_scale, rate, x_sum
        ),
        penalty=gradients.penalty + (rate * distances).sum(),
    )
