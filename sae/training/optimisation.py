"""How gradients move the weights: Adam, one of its own for the thresholds, and clipping that spares them."""

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import Parameter

from sae.kernels.dispatch import loss_and_update
from sae.kernels.loss import LossSettings, StepStatistics, WeightGradients
from sae.kernels.shadows import BFloat16Shadows
from sae.kernels.weights import DictionaryWeights
from sae.training.config import Clipping

__all__ = ["WEIGHT_NAMES", "WeightOptimiser", "clip"]

WEIGHT_NAMES = ("encoder_rows", "b_enc", "decoder_rows", "b_dec", "threshold")
CLIPPED_NAMES = WEIGHT_NAMES[:-1]
ADAM_STATE = ("step", "exp_avg", "exp_avg_sq")


class WeightOptimiser:
    """Adam over the weights of a dictionary; decoder rows stay unit and thresholds not negative.

    Args:
        weights: What is moved, in place.
        learning_rate: Peak rate of the weights.
        threshold_learning_rate: Peak rate of the thresholds; None leaves them where they are.
        betas: Decay rates of Adam's moments.
    """

    def __init__(
        self,
        weights: DictionaryWeights,
        *,
        learning_rate: float,
        threshold_learning_rate: float | None,
        betas: tuple[float, float],
    ) -> None:
        self.weights = weights
        self._learning_rate, self._threshold_learning_rate = learning_rate, threshold_learning_rate
        rows_and_biases = [getattr(weights, name) for name in CLIPPED_NAMES]
        self._adam = torch.optim.Adam(rows_and_biases, lr=learning_rate, betas=betas, fused=True)
        self._of_thresholds = torch.optim.Adam([weights.threshold], lr=0.0, betas=betas, fused=True)

    @property
    def _moved(self) -> dict[str, tuple[Parameter, torch.optim.Adam]]:
        """The parameters that are moved and who moves them, by name."""
        moved = {name: (getattr(self.weights, name), self._adam) for name in CLIPPED_NAMES}
        if self._threshold_learning_rate is None:
            return moved
        return moved | {"threshold": (self.weights.threshold, self._of_thresholds)}

    @torch.no_grad()
    def step(
        self,
        gradients: WeightGradients,
        *,
        rate_factors: tuple[float, float],
        loss_unit: float = 1.0,
        shadows: BFloat16Shadows | None = None,
    ) -> None:
        """One step.

        Args:
            gradients: Of the loss divided by `loss_unit`.
            rate_factors: Shares of the peak rates, of weights and of thresholds.
            loss_unit: By what the gradients of the thresholds are multiplied again: undivided, a threshold settles as
                the error falls, and dictionaries come out better.
            shadows: Brought up to date.
        """
        self._set_rates(rate_factors)
        gradients.assign(self.weights)
        self._adam.step()
        self._move_thresholds(loss_unit)
        self.weights.normalise_decoder()
        if shadows is not None:
            shadows.refresh(self.weights)

    @torch.no_grad()
    def whole_step(
        self,
        x: Float[Tensor, "tokens d_model"],
        loss: LossSettings,
        *,
        rate_factors: tuple[float, float],
        loss_unit: float = 1.0,
        **options: Any,
    ) -> StepStatistics:
        """Gradients and step at once, which the Triton path fuses; state and weights are those of `step`.

        Args:
            x: Normalised activations.
            loss: What is minimised, divided by `loss_unit`.
            rate_factors: As in `step`.
            loss_unit: As there.
            options: Of `sae.kernels.dispatch.loss_and_update`.
        """
        self._set_rates(rate_factors)
        statistics = loss_and_update(self.weights, x, loss, self._adam, **options)
        self._move_thresholds(loss_unit)
        return statistics

    def _move_thresholds(self, loss_unit: float) -> None:
        """By the gradients that lie in `.grad`."""
        threshold = self.weights.threshold
        assert threshold.grad is not None, "a step leaves it there"
        if self._threshold_learning_rate is not None:
            threshold.grad.mul_(loss_unit)
            self._of_thresholds.step()
        threshold.clamp_(min=0)

    def _set_rates(self, rate_factors: tuple[float, float]) -> None:
        of_weights, of_thresholds = rate_factors
        self._adam.param_groups[0]["lr"] = self._learning_rate * of_weights
        self._of_thresholds.param_groups[0]["lr"] = (self._threshold_learning_rate or 0.0) * of_thresholds

    def state_dict(self) -> dict[str, Tensor]:
        """Weights and moments."""
        state = {f"weights.{name}": getattr(self.weights, name).detach() for name in WEIGHT_NAMES}
        for name, (parameter, adam) in self._moved.items():
            held = adam.state.get(parameter, {})
            state |= {f"adam.{name}.{key}": held[key] for key in ADAM_STATE if key in held}
        return state

    @torch.no_grad()
    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over weights and moments."""
        for name in WEIGHT_NAMES:
            getattr(self.weights, name).copy_(state[f"weights.{name}"])
        for name, (parameter, adam) in self._moved.items():
            keys = {key: f"adam.{name}.{key}" for key in ADAM_STATE}
            if keys["step"] in state:
                adam.state[parameter] = {key: state[full].to(parameter.device) for key, full in keys.items()}


@torch.no_grad()
def clip(gradients: WeightGradients, how: Clipping, max_norm: float) -> None:
    """Scale down gradients that are too long, in place; those of the thresholds are left as they are.

    Args:
        gradients: Of all weights.
        how: `row` bounds each feature's encoder and decoder row by itself, `global` all gradients together.
        max_norm: Largest norm that is left alone.
    """
    if how == "row":
        for rows in (gradients.encoder_rows, gradients.decoder_rows):
            norms = rows.norm(dim=1, keepdim=True)
            rows.mul_(max_norm / norms.clamp(min=max_norm))
    if how == "global":
        tensors = [getattr(gradients, name) for name in CLIPPED_NAMES]
        norm = torch.stack([tensor.norm() for tensor in tensors]).norm()
        for tensor in tensors:
            tensor.mul_(max_norm / norm.clamp(min=max_norm))
