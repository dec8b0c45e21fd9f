"""The products of the sparse form as differentiable functions, for losses whose upstream gradient is arbitrary.

When a dictionary is spliced into a model and trained through its output, as with a KL divergence, the gradient of the
reconstruction comes from the model and the fused step does not apply. Each function can be differentiated once.
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from sae.kernels.loss import LossSettings
from sae.kernels.sparse import window_bound
from sae.kernels.sparse_products import decode, feature_sums, inner_products, per_feature
from sae.kernels.support import Support, find_support
from sae.kernels.weights import DictionaryWeights

__all__ = ["differentiable_acts", "differentiable_decode", "differentiable_pre_acts", "reconstruct"]


def reconstruct(
    weights: DictionaryWeights, x: Float[Tensor, "tokens d_model"], loss: LossSettings
) -> tuple[Float[Tensor, "tokens d_model"], Float[Tensor, " tokens"]]:
    """The reconstruction and each token's number of active features, both differentiable to weights and x.

    Args:
        weights: The dictionary.
        x: Normalised activations.
        loss: Its bandwidth and pseudo-derivatives; not its penalty, which is the caller's to form from the l0.
    """
    bound = window_bound(weights.threshold.detach(), loss.bandwidth)
    support = find_support(x.detach(), weights.encoder_rows.detach(), weights.b_enc.detach(), bound)
    pre_acts = differentiable_pre_acts(support, x, weights.encoder_rows, weights.b_enc)
    feature_acts, steps = differentiable_acts(support, pre_acts, weights.threshold, loss)
    x_hat = differentiable_decode(support, feature_acts, weights.decoder_rows) + weights.b_dec
    tokens = support.token_ids.long()
    return x_hat, torch.zeros(len(x), dtype=x.dtype, device=x.device).index_add(0, tokens, steps)


def differentiable_pre_acts(
    support: Support,
    x: Float[Tensor, "tokens d_model"],
    encoder_rows: Float[Tensor, "d_sae d_model"],
    b_enc: Float[Tensor, " d_sae"],
) -> Float[Tensor, " entries"]:
    """Pre-activations of the support's entries; their values are the support's own."""
    return _PreActs.apply(support, x, encoder_rows, b_enc)


def differentiable_acts(
    support: Support, pre_acts: Float[Tensor, " entries"], threshold: Float[Tensor, " d_sae"], loss: LossSettings
) -> tuple[Float[Tensor, " entries"], Float[Tensor, " entries"]]:
    """JumpReLU and step of each entry, with the pseudo-derivatives of `sae.kernels.reference`."""
    return _Acts.apply(support, pre_acts, threshold, loss)


def differentiable_decode(
    support: Support, feature_acts: Float[Tensor, " entries"], decoder_rows: Float[Tensor, "d_sae d_model"]
) -> Float[Tensor, "tokens d_model"]:
    """For each token the sum of its features' rows, weighted by their activations."""
    return _Decode.apply(support, feature_acts, decoder_rows)


class _PreActs(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, support: Support, x: Tensor, encoder_rows: Tensor, b_enc: Tensor) -> Tensor:
        ctx.support = support
        ctx.save_for_backward(x, encoder_rows)
        return support.pre_acts.clone()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = gradients
        x, encoder_rows = ctx.saved_tensors
        _, to_x, to_rows, to_bias = ctx.needs_input_grad
        return (
            None,
            decode(ctx.support, gradient, encoder_rows) if to_x else None,
            per_feature(ctx.support, gradient, x) if to_rows else None,
            feature_sums(ctx.support, gradient) if to_bias else None,
        )


class _Acts(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, support: Support, pre_acts: Tensor, threshold: Tensor, loss: LossSettings
    ) -> tuple[Tensor, Tensor]:
        thresholds = threshold.index_select(0, support.feature_ids)
        active = pre_acts > thresholds
        ctx.support, ctx.loss = support, loss
        ctx.save_for_backward(pre_acts, thresholds, active)
        return torch.where(active, pre_acts, 0), active.to(pre_acts.dtype)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        to_values, to_steps = gradients
        pre_acts, thresholds, active = ctx.saved_tensors
        bandwidth = ctx.loss.bandwidth
        density = ((pre_acts - thresholds).abs() < bandwidth / 2).to(pre_acts.dtype) / bandwidth
        jump = (thresholds * to_values + to_steps) * density
        to_threshold = jump if ctx.loss.reconstruction_moves_threshold else to_steps * density
        to_pre_acts = torch.where(active, to_values, 0)
        if ctx.loss.gradient_through_window:
            to_pre_acts = to_pre_acts + jump
        return None, to_pre_acts, -feature_sums(ctx.support, to_threshold), None


class _Decode(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, support: Support, feature_acts: Tensor, decoder_rows: Tensor) -> Tensor:
        ctx.support = support
        ctx.save_for_backward(feature_acts, decoder_rows)
        return decode(support, feature_acts, decoder_rows)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = gradients
        feature_acts, decoder_rows = ctx.saved_tensors
        _, to_values, to_rows = ctx.needs_input_grad
        return (
            None,
            inner_products(ctx.support, gradient.contiguous(), decoder_rows) if to_values else None,
            per_feature(ctx.support, feature_acts, gradient.contiguous()) if to_rows else None,
        )
