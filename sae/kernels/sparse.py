"""The gradients of a training step from the sparse support alone; after the encoder nothing is dense.

A feature matters to a token where it is active, or where it lies in the window around its threshold. Everything
that looks dense in the loss is a count, or follows from the support by complement (README.md in this directory).
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from sae.kernels.batch_support import BatchSupport
from sae.kernels.entry_gradients import entry_gradients
from sae.kernels.loss import LossSettings, StepStatistics, WeightGradients, token_scales
from sae.kernels.sparse_products import decode, feature_sums, inner_products, per_feature
from sae.kernels.support import Support, compact, find_support
from sae.kernels.weights import DictionaryWeights

__all__ = ["sparse_gradients", "sparse_selected_gradients", "support_gradients", "window_bound"]


@torch.no_grad()
def sparse_gradients(
    weights: DictionaryWeights,
    x: Float[Tensor, "tokens d_model"],
    loss: LossSettings,
    *,
    dead: Bool[Tensor, " d_sae"] | None = None,
    emphasis: Float[Tensor, "tokens 1"] | None = None,
) -> tuple[StepStatistics, WeightGradients]:
    """`sae.kernels.reference.training_loss` and its gradients. Arguments as in `loss_and_gradients`."""
    bound = window_bound(weights.threshold, loss.bandwidth)
    support = find_support(x, weights.encoder_rows, weights.b_enc, bound)
    return support_gradients(BatchSupport(weights, x, loss, dead, support), emphasis)


@torch.no_grad()
def sparse_selected_gradients(
    weights: DictionaryWeights,
    x: Float[Tensor, "tokens d_model"],
    threshold: Float[Tensor, ""] | Float[Tensor, "tokens 1"],
    *,
    pre_acts: Float[Tensor, "tokens d_sae"] | None = None,
    emphasis: Float[Tensor, "tokens 1"] | None = None,
    error_weight: float = 1.0,
) -> tuple[StepStatistics, WeightGradients]:
    """The squared error and its gradients where the active features are a given choice, as in BatchTopK.

    Args:
        weights: Their own thresholds are left aside, and get a gradient of zero.
        x: Normalised activations.
        threshold: Features above it are active; of the batch, or of each token. Not negative.
        pre_acts: Pre-activations of the batch, where they are known already.
        emphasis: As in `loss_and_gradients`.
        error_weight: What the squared error is multiplied by.
    """
    if pre_acts is None:
        support = find_support(x, weights.encoder_rows, weights.b_enc, threshold)
    else:
        support = compact(pre_acts, threshold)
    error = decode(support, support.pre_acts, weights.decoder_rows) + (weights.b_dec - x)
    r = error * token_scales(emphasis, len(x), error_weight)
    to_values = inner_products(support, r, weights.decoder_rows)
    statistics = StepStatistics(
        squared_error=error.square().sum(1).mean(),
        penalty=error.new_zeros(()),
        l0=support.density * support.d_sae,
        fire_counts=support.feature_counts,
        window_counts=torch.zeros_like(support.feature_counts),
        kernel="sparse",
        density=support.density,
    )
    return statistics, WeightGradients(
        encoder_rows=per_feature(support, to_values, x),
        b_enc=feature_sums(support, to_values),
        decoder_rows=per_feature(support, support.pre_acts, r),
        b_dec=r.sum(0),
        threshold=torch.zeros_like(weights.threshold),
    )


def window_bound(threshold: Float[Tensor, " d_sae"], bandwidth: float) -> Float[Tensor, " d_sae"]:
    """Every entry that is active or in the window lies above it.

    It lies lower by more than rounding may move it; the few entries too many contribute exactly zero.
    """
    return threshold - bandwidth / 2 - 1e-6 * (threshold + bandwidth)


def support_gradients(
    batch: BatchSupport, emphasis: Float[Tensor, "tokens 1"] | None
) -> tuple[StepStatistics, WeightGradients]:
    """As `sparse_gradients`, from a support that holds all active entries and all in the window."""
    weights, x, support = batch.weights, batch.x, batch.support
    live = support.keep(batch.active)
    error = decode(live, live.pre_acts, weights.decoder_rows) + (weights.b_dec - x)
    r = error * token_scales(emphasis, len(x), batch.loss.error_weight)
    entries = entry_gradients(batch, _value_gradients(batch, live, r))
    encoder_gradient = _encoder_gradient(batch, live, entries.to_pre_acts)
    decoder_gradient = per_feature(live, live.pre_acts, r)
    if entries.row_terms is not None:
        encoder_gradient.addr_(entries.row_terms.encoder_rate, entries.row_terms.x_sum, alpha=-1)
        decoder_gradient.addcmul_(entries.row_terms.decoder_scale[:, None], weights.decoder_rows)
    statistics = StepStatistics(
        squared_error=error.square().sum(1).mean(),
        penalty=entries.penalty,
        l0=live.density * live.d_sae,
        fire_counts=batch.fire_counts.long(),
        window_counts=batch.window_counts.long(),
        kernel="sparse",
        density=support.density if batch.loss.gathers_window else live.density,
    )
    return statistics, WeightGradients(
        encoder_rows=encoder_gradient,
        b_enc=entries.b_enc,
        decoder_rows=decoder_gradient,
        b_dec=r.sum(0),
        threshold=entries.threshold,
    )


def _value_gradients(batch: BatchSupport, live: Support, r: Tensor) -> Float[Tensor, " entries"]:
    """Gradient of the reconstruction to the activations of the support; of its live part where that is enough."""
    rows = batch.weights.decoder_rows
    if batch.loss.gathers_window:
        return inner_products(batch.support, r, rows)
    return torch.zeros_like(batch.support.pre_acts).masked_scatter_(batch.active, inner_products(live, r, rows))


def _encoder_gradient(batch: BatchSupport, live: Support, to_pre_acts: Tensor) -> Float[Tensor, "d_sae d_model"]:
    """The window matters to the encoder only where the jump passes gradient to the pre-activations."""
    if batch.loss.gradient_through_window:
        return per_feature(batch.support, to_pre_acts, batch.x)
    return per_feature(live, to_pre_acts[batch.active], batch.x)
