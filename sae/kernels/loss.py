"""What one training step minimises, and what it gives back: settings, gradients, statistics."""

from dataclasses import dataclass, field, replace
from typing import Literal, get_args

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from sae.kernels.weights import DictionaryWeights

__all__ = [
    "NO_WINDOW",
    "LossSettings",
    "Sparsity",
    "StepStatistics",
    "WeightGradients",
    "l0_penalty",
    "step_gradients",
    "token_scales",
]

Sparsity = Literal["none", "step", "quadratic", "tanh"]

NO_WINDOW = 1e-12
"""A bandwidth that holds a pre-activation only where it ties with the threshold: for thresholds that do not learn."""


@dataclass(frozen=True)
class LossSettings:
    r"""The loss of a step: a mean over tokens of the squared error summed over d_model, and a sparsity penalty.

        step       lambda * l0                               Rajamanoharan et al. 2024
                   lambda * sum_i w_i [pi_i > theta_i]       with `feature_costs` w
        quadratic  lambda * 2/L * (l0 - L)^2                 L: `l0_target`; Gemma Scope 2, SAELens
        tanh       lambda * sum_i tanh(c * z_i * |d_i|)      Anthropic, January 2025

    Attributes:
        sparsity: Form of the penalty.
        coefficient: lambda, not negative.
        bandwidth: eps, the width of the window around a threshold, in units of the pre-activations; above 0.
        l0_target: L of the quadratic penalty, above 0.
        tanh_scale: c of the tanh penalty.
        gradient_through_window: Whether the jump at the threshold passes gradient to the pre-activations too.
        pre_act_coefficient: lambda_P of `sum_i relu(theta_i - pi_i) * |d_i|` over dead features, not negative.
        reconstruction_moves_threshold: Whether the squared error (and the tanh penalty) moves the thresholds.
            Without it the window need only be counted, which keeps a wide window cheap.
        error_weight: What the squared error is multiplied by; above 0.
        feature_costs: w of the step penalty, not negative; 1 for every feature where it is left out.
    """

    sparsity: Sparsity
    coefficient: float
    bandwidth: float
    l0_target: float | None = None
    tanh_scale: float = 4.0
    gradient_through_window: bool = False
    pre_act_coefficient: float = 0.0
    reconstruction_moves_threshold: bool = True
    error_weight: float = 1.0
    feature_costs: Float[Tensor, " d_sae"] | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        if self.sparsity not in get_args(Sparsity):
            raise ValueError(f"sparsity is {self.sparsity!r}, expected one of {', '.join(get_args(Sparsity))}")
        for name in ("coefficient", "pre_act_coefficient"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} is {getattr(self, name)}, expected 0 or more")
        for name in ("bandwidth", "tanh_scale", "error_weight"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} is {getattr(self, name)}, expected more than 0")
        if self.sparsity == "quadratic" and not (self.l0_target is not None and self.l0_target > 0):
            raise ValueError(f"l0_target is {self.l0_target}, expected more than 0 for the quadratic penalty")
        if self.feature_costs is not None and self.sparsity != "step":
            raise ValueError(f"feature_costs stand beside sparsity {self.sparsity!r}, expected them beside 'step' only")

    @property
    def gathers_window(self) -> bool:
        """Whether features in the window need value gradients; otherwise counting them is enough."""
        return self.reconstruction_moves_threshold or self.gradient_through_window

    def divided(self, unit: float) -> "LossSettings":
        """The whole loss in another unit: everything in it, and so every gradient, divided by `unit`."""
        return replace(
            self,
            coefficient=self.coefficient / unit,
            pre_act_coefficient=self.pre_act_coefficient / unit,
            error_weight=self.error_weight / unit,
        )


@dataclass(frozen=True, eq=False)
class WeightGradients:
    """Gradients of a step's loss, in the shapes of `DictionaryWeights`."""

    encoder_rows: Float[Tensor, "d_sae d_model"]
    b_enc: Float[Tensor, " d_sae"]
    decoder_rows: Float[Tensor, "d_sae d_model"]
    b_dec: Float[Tensor, " d_model"]
    threshold: Float[Tensor, " d_sae"]

    def assign(self, weights: DictionaryWeights) -> None:
        """Make these the `.grad` of the weights; what was there before is overwritten."""
        weights.encoder_rows.grad = self.encoder_rows
        weights.b_enc.grad = self.b_enc
        weights.decoder_rows.grad = self.decoder_rows
        weights.b_dec.grad = self.b_dec
        weights.threshold.grad = self.threshold


@dataclass(frozen=True, eq=False)
class StepStatistics:
    """What a step observed.

    Attributes:
        squared_error: Mean over tokens of the squared error summed over d_model, without emphasis.
        penalty: Everything else in the loss, lambda included.
        l0: Mean number of active features of a token.
        fire_counts: Number of tokens on which each feature is active.
        window_counts: Number of tokens on which each feature lies in the window around its threshold.
        kernel: The path that was taken: dense, sparse or triton.
        density: Share of tokens * d_sae that the sparse form gathers: active features, and the window where needed.
    """

    squared_error: Float[Tensor, ""]
    penalty: Float[Tensor, ""]
    l0: float
    fire_counts: Int64[Tensor, " d_sae"]
    window_counts: Int64[Tensor, " d_sae"]
    kernel: str
    density: float


def l0_penalty(l0: Float[Tensor, " tokens"], loss: LossSettings) -> Float[Tensor, ""]:
    """Mean of the step or the quadratic penalty, given each token's number of active features, or what they cost."""
    if loss.sparsity == "step":
        return loss.coefficient * l0.mean()
    if loss.l0_target is not None and loss.sparsity == "quadratic":
        return loss.coefficient * 2 / loss.l0_target * (l0 - loss.l0_target).square().mean()
    return l0.new_zeros(())


def step_gradients(l0: Float[Tensor, " tokens"], loss: LossSettings) -> Float[Tensor, " tokens"]:
    """u_n: gradient of the penalty to a token's number of active features; times w_i where features have costs."""
    if loss.sparsity == "step":
        return torch.full_like(l0, loss.coefficient / len(l0))
    if loss.l0_target is not None and loss.sparsity == "quadratic":
        return (l0 - loss.l0_target) * (4 * loss.coefficient / loss.l0_target / len(l0))
    return torch.zeros_like(l0)


def token_scales(
    emphasis: Float[Tensor, "tokens 1"] | None, n_tokens: int, error_weight: float
) -> float | Float[Tensor, "tokens 1"]:
    """By what the error of a token becomes the gradient of its reconstruction: 2/N, the weight, and emphasis^2."""
    scale = 2 * error_weight / n_tokens
    return scale if emphasis is None else emphasis.square() * scale
