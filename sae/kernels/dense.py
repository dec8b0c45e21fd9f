"""The gradients of a training step by dense matrix products: five of them, whatever the density.

It wins where a large share of the features is active or in the window: early in training, small dictionaries.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import linear

from sae.kernels.loss import (
    LossSettings,
    StepStatistics,
    WeightGradients,
    l0_penalty,
    step_gradients,
    token_scales,
)
from sae.kernels.shadows import BFloat16Shadows
from sae.kernels.weights import DictionaryWeights

__all__ = ["dense_gradients", "rounded_matmul"]


@torch.no_grad()
def dense_gradients(
    weights: DictionaryWeights,
    x: Float[Tensor, "tokens d_model"],
    loss: LossSettings,
    *,
    dead: Bool[Tensor, " d_sae"] | None = None,
    emphasis: Float[Tensor, "tokens 1"] | None = None,
    shadows: BFloat16Shadows | None = None,
) -> tuple[StepStatistics, WeightGradients]:
    """`sae.kernels.reference.training_loss` and its gradients, written out. Arguments as in `loss_and_gradients`."""
    matmul = torch.matmul if shadows is None else rounded_matmul
    if shadows is None:
        pre_acts = linear(x, weights.encoder_rows, weights.b_enc)
    else:
        pre_acts = shadows.products(x).float() + weights.b_enc
    active = pre_acts > weights.threshold
    window = (pre_acts - weights.threshold).abs() < loss.bandwidth / 2
    feature_acts = pre_acts * active
    l0 = active.sum(1, dtype=pre_acts.dtype)

    error = matmul(feature_acts, weights.decoder_rows) + (weights.b_dec - x)
    r = error * token_scales(emphasis, len(x), loss.error_weight)
    to_values = matmul(r, weights.decoder_rows.T)
    costs = None if loss.feature_costs is None else loss.feature_costs.to(x)
    penalty = l0_penalty(l0 if costs is None else active.to(x.dtype) @ costs, loss)
    decoder_gradient = matmul(feature_acts.T, r)
    if loss.sparsity == "tanh":
        penalty, to_norms = _add_tanh(to_values, feature_acts, weights, loss)
        decoder_gradient += to_norms

    to_steps = step_gradients(l0, loss)[:, None] * (1 if costs is None else costs)
    to_threshold, to_pre_acts = _through_the_jump(to_values, to_steps, window, weights.threshold, loss)
    to_pre_acts += to_values * active
    if dead is not None and loss.pre_act_coefficient:
        pre_act_loss, to_dead, to_norms = _pre_act_loss(pre_acts, active, weights, loss, dead)
        penalty = penalty + pre_act_loss
        to_pre_acts -= to_dead
        to_threshold += to_dead.sum(0)
        decoder_gradient += to_norms

    gathered = active | window if loss.gathers_window else active
    statistics = StepStatistics(
        squared_error=error.square().sum(1).mean(),
        penalty=penalty,
        l0=float(l0.mean()),
        fire_counts=active.sum(0),
        window_counts=window.sum(0),
        kernel="dense",
        density=float(gathered.sum() / gathered.numel()),
    )
    return statistics, WeightGradients(
        encoder_rows=matmul(to_pre_acts.T, x),
        b_enc=to_pre_acts.sum(0),
        decoder_rows=decoder_gradient,
        b_dec=r.sum(0),
        threshold=to_threshold,
    )


def rounded_matmul(left: Float[Tensor, "a b"], right: Float[Tensor, "b c"]) -> Float[Tensor, "a c"]:
    """A product of factors rounded to bfloat16, added up in float32."""
    return (left.bfloat16() @ right.bfloat16()).float()


def _through_the_jump(
    to_values: Tensor, to_steps: Tensor, window: Tensor, threshold: Tensor, loss: LossSettings
) -> tuple[Tensor, Tensor]:
    """What the jump at the threshold, as wide as the window, passes to the threshold and to the pre-activations."""
    jump = (threshold * to_values + to_steps) * window / loss.bandwidth
    to_pre_acts = jump if loss.gradient_through_window else torch.zeros_like(jump)
    if loss.reconstruction_moves_threshold:
        return -jump.sum(0), to_pre_acts
    return -(to_steps * window).sum(0) / loss.bandwidth, to_pre_acts


def _add_tanh(
    to_values: Tensor, feature_acts: Tensor, weights: DictionaryWeights, loss: LossSettings
) -> tuple[Tensor, Tensor]:
    """The tanh penalty and its gradient to the decoder; its gradient to the values is added in place."""
    norms = weights.decoder_rows.norm(dim=1)
    share = loss.coefficient / len(feature_acts)
    tanh = torch.tanh(loss.tanh_scale * feature_acts * norms)
    slope = (1 - tanh.square()) * (share * loss.tanh_scale)
    to_values += slope * norms
    to_norms = (slope * feature_acts).sum(0)
    return share * tanh.sum(), (to_norms / norms)[:, None] * weights.decoder_rows


def _pre_act_loss(
    pre_acts: Tensor, active: Tensor, weights: DictionaryWeights, loss: LossSettings, dead: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """The pre-activation loss, its gradient to the thresholds of single tokens, and to the decoder."""
    norms = weights.decoder_rows.norm(dim=1)
    share = loss.pre_act_coefficient / len(pre_acts)
    counted = dead & ~active
    distances = (weights.threshold - pre_acts) * counted * share
    to_norms = distances.sum(0)
    return (to_norms * norms).sum(), counted * (norms * share), (to_norms / norms)[:, None] * weights.decoder_rows
