"""The arithmetic of JumpReLU and BatchTopK dictionaries in its slow, obvious, dense form.

Every fast path is compared with these functions. They work in whatever precision they are given.

Notation: pi pre-activations, theta thresholds, eps the bandwidth, K(u) = 1 where |u| < 1/2 and 0 elsewhere.
Equations: Rajamanoharan et al. 2024, "Jumping Ahead", section 3 and appendix.
"""

from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import linear

from sae.kernels.loss import LossSettings
from sae.kernels.weights import DictionaryWeights

__all__ = [
    "batch_topk",
    "jump_relu",
    "reconstruction_loss",
    "reconstruction_loss_gradients",
    "step",
    "training_loss",
]


def jump_relu(
    pre_acts: Float[Tensor, "tokens d_sae"],
    threshold: Float[Tensor, " d_sae"],
    *,
    bandwidth: float,
    gradient_through_window: bool = False,
) -> Float[Tensor, "tokens d_sae"]:
    r"""JumpReLU with a straight-through gradient for the threshold.

        z = relu(pi) * [pi > theta]
        dz/dpi    = [pi > theta]                       (+ theta/eps * K((pi - theta)/eps), through the window)
        dz/dtheta = -theta/eps * K((pi - theta)/eps)

    The threshold itself is the parameter, not its logarithm: under a logarithm small thresholds stop moving.

    Args:
        pre_acts: pi.
        threshold: theta, not negative.
        bandwidth: eps, in units of the pre-activations, greater than 0.
        gradient_through_window: Whether the step at the threshold also passes gradient to the pre-activations
            (Anthropic, January 2025).

    Returns:
        Feature activations z.
    """
    return _JumpReLU.apply(pre_acts, threshold, bandwidth, gradient_through_window)


def step(
    pre_acts: Float[Tensor, "tokens d_sae"],
    threshold: Float[Tensor, " d_sae"],
    *,
    bandwidth: float,
    gradient_through_window: bool = False,
) -> Float[Tensor, "tokens d_sae"]:
    r"""Whether a feature is active, as 0 or 1; its sum over features is L0.

        H = [pi > theta]
        dH/dpi    = 0                                  (+ 1/eps * K((pi - theta)/eps), through the window)
        dH/dtheta = -1/eps * K((pi - theta)/eps)

    It takes pre-activations: given activations, every inactive feature with theta < eps/2 would be in it.

    Args:
        pre_acts: pi.
        threshold: theta, not negative.
        bandwidth: eps, in units of the pre-activations, greater than 0.
        gradient_through_window: As in `jump_relu`.

    Returns:
        H.
    """
    return _Step.apply(pre_acts, threshold, bandwidth, gradient_through_window)


def reconstruction_loss(
    x_hat: Float[Tensor, "tokens d_model"], x: Float[Tensor, "tokens d_model"]
) -> Float[Tensor, ""]:
    """Mean over tokens of the squared error summed over the residual width, in squared activation units."""
    return (x_hat - x).square().sum(-1).mean()


def reconstruction_loss_gradients(
    x: Float[Tensor, "tokens d_model"],
    pre_acts: Float[Tensor, "tokens d_sae"],
    active: Bool[Tensor, "tokens d_sae"],
    W_dec: Float[Tensor, "d_sae d_model"],
    b_dec: Float[Tensor, " d_model"],
) -> dict[str, Tensor]:
    r"""Gradients of `reconstruction_loss` for a fixed set of active features; no window, no threshold.

        z      = pi * [active]
        r_n    = 2/N * (x_hat_n - x_n)
        g_ni   = <r_n, d_i>                            d_i: row i of W_dec
        W_dec_i: sum_n z_ni r_n                        non-zero where i is active for some n
        W_enc_i: sum_n [active_ni] g_ni x_n            the same support
        b_enc_i: sum_n [active_ni] g_ni
        b_dec  : sum_n r_n

    Returns:
        `W_enc [d_model d_sae]`, `b_enc`, `W_dec`, `b_dec`.
    """
    feature_acts = pre_acts * active
    r = (feature_acts @ W_dec + b_dec - x) * (2 / len(x))
    pre_act_gradients = (r @ W_dec.T) * active
    return {
        "W_enc": x.T @ pre_act_gradients,
        "b_enc": pre_act_gradients.sum(0),
        "W_dec": feature_acts.T @ r,
        "b_dec": r.sum(0),
    }


def training_loss(
    weights: DictionaryWeights,
    x: Float[Tensor, "tokens d_model"],
    loss: LossSettings,
    *,
    dead: Bool[Tensor, " d_sae"] | None = None,
    emphasis: Float[Tensor, "tokens 1"] | None = None,
) -> Float[Tensor, ""]:
    r"""The loss of a training step, to be differentiated by autograd.

        w/N sum_n a_n^2 |x_hat_n - x_n|^2  +  penalty (see `LossSettings`; w: `error_weight`)
            +  lambda_P/N sum_n sum_{i dead} relu(theta_i - pi_ni) |d_i|

    Args:
        weights: In any precision.
        x: Normalised activations, in the same precision.
        loss: The penalty and the pseudo-derivatives.
        dead: Features that the pre-activation loss pulls up; none where it is left out. At pi = theta exactly
            its slope is that of the inactive side.
        emphasis: a of each token, above 0; 1 where it is left out.
    """
    eps, through_window = loss.bandwidth, loss.gradient_through_window
    threshold, pre_acts = weights.threshold, linear(x, weights.encoder_rows, weights.b_enc)
    moved = threshold if loss.reconstruction_moves_threshold else threshold.detach()
    feature_acts = jump_relu(pre_acts, moved, bandwidth=eps, gradient_through_window=through_window)
    error = feature_acts @ weights.decoder_rows + weights.b_dec - x
    scaled_error = error if emphasis is None else error * emphasis
    norms = weights.decoder_rows.norm(dim=1)
    total = loss.error_weight * reconstruction_loss(scaled_error, torch.zeros_like(x))
    is_active = step(pre_acts, threshold, bandwidth=eps, gradient_through_window=through_window)
    l0 = (is_active if loss.feature_costs is None else is_active * loss.feature_costs.to(x)).sum(1)
    if loss.sparsity == "step":
        total = total + loss.coefficient * l0.mean()
    if loss.sparsity == "quadratic" and loss.l0_target is not None:
        total = total + loss.coefficient * (2 / loss.l0_target * (l0 - loss.l0_target).square()).mean()
    if loss.sparsity == "tanh":
        total = total + loss.coefficient * torch.tanh(loss.tanh_scale * feature_acts * norms).sum(1).mean()
    if dead is not None:
        distances = (threshold - pre_acts) * (pre_acts <= threshold) * dead
        total = total + loss.pre_act_coefficient * (distances * norms).sum(1).mean()
    return total


def batch_topk(pre_acts: Float[Tensor, "tokens d_sae"], k: float | int) -> Float[Tensor, "tokens d_sae"]:
    """Keep the `tokens * k` largest positive pre-activations of the batch (Bussmann et al. 2024).

    Args:
        pre_acts: pi.
        k: Mean number of active features of a token; need not be whole.

    Returns:
        Feature activations. Equal values at the boundary are all kept; fewer are active if fewer are positive.
    """
    n_active = min(round(k * len(pre_acts)), pre_acts.numel())
    if n_active == 0:
        return torch.zeros_like(pre_acts)
    smallest_kept = pre_acts.flatten().topk(n_active).values[-1]
    return pre_acts.relu() * (pre_acts >= smallest_kept)


class _JumpReLU(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, pre_acts: Tensor, threshold: Tensor, bandwidth: float, through_window: bool) -> Tensor:
        ctx.save_for_backward(pre_acts, threshold)
        ctx.bandwidth, ctx.through_window = bandwidth, through_window
        return pre_acts.relu() * (pre_acts > threshold)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None, None]:
        (gradient,) = gradients
        pre_acts, threshold = ctx.saved_tensors
        jump = threshold / ctx.bandwidth * _window(pre_acts, threshold, ctx.bandwidth) * gradient
        pre_act_gradient = gradient * (pre_acts > threshold)
        if ctx.through_window:
            pre_act_gradient = pre_act_gradient + jump
        return pre_act_gradient, -jump.sum(0), None, None


class _Step(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, pre_acts: Tensor, threshold: Tensor, bandwidth: float, through_window: bool) -> Tensor:
        ctx.save_for_backward(pre_acts, threshold)
        ctx.bandwidth, ctx.through_window = bandwidth, through_window
        return (pre_acts > threshold).to(pre_acts.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None, None]:
        (gradient,) = gradients
        pre_acts, threshold = ctx.saved_tensors
        jump = _window(pre_acts, threshold, ctx.bandwidth) / ctx.bandwidth * gradient
        pre_act_gradient = jump if ctx.through_window else torch.zeros_like(pre_acts)
        return pre_act_gradient, -jump.sum(0), None, None


def _window(pre_acts: Tensor, threshold: Tensor, bandwidth: float) -> Tensor:
    """K((pi - theta)/eps): 1 inside the open window around the threshold."""
    return ((pre_acts - threshold).abs() < bandwidth / 2).to(pre_acts.dtype)
