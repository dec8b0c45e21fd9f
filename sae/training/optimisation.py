"""How gradients move the weights: Adam, with a group of its own for the thresholds, and clipping that spares them."""

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
        self._peak_rates = [learning_rate]
        groups = [{"params": [getattr(weights, name) for name in CLIPPED_NAMES]}]
        if threshold_learning_rate is not None:
            self._peak_rates.append(threshold_learning_rate)
            groups.append({"params": [weights.threshold]})
        self._adam = torch.optim.Adam(groups, lr=learning_rate, betas=betas, fused=True)

    @property
    def trained(self) -> dict[str, Parameter]:
        """The parameters that are moved, by name."""
        return {
            name: getattr(self.weights, name) for name in WEIGHT_NAMES[: len(CLIPPED_NAMES) + self._moves_threshold]
        }

    @property
    def _moves_threshold(self) -> bool:
        return len(self._peak_rates) > 1

    @torch.no_grad()
    def step(
        self,
        gradients: WeightGradients,
        *,
        rate_factors: tuple[float, float],
        shadows: BFloat16Shadows | None = None,
    ) -> None:
        """One step at these shares of the peak rates, of weights and of thresholds; shadows are brought up to date."""
        self._set_rates(rate_factors)
        gradients.assign(self.weights)
        self._adam.step()
        self.weights.normalise_decoder()
        self.weights.threshold.clamp_(min=0)
        if shadows is not None:
            shadows.refresh(self.weights)

    @torch.no_grad()
    def whole_step(
        self,
        x: Float[Tensor, "tokens d_model"],
        loss: LossSettings,
        *,
        rate_factors: tuple[float, float],
        **options: Any,
    ) -> StepStatistics:
        """Gradients and step at once, which the Triton path fuses; state and weights are those of `step`.

        Args:
            x: Normalised activations.
            loss: What is minimised.
            rate_factors: As in `step`.
            options: Of `sae.kernels.dispatch.loss_and_update`.
        """
        self._set_rates(rate_factors)
        statistics = loss_and_update(self.weights, x, loss, self._adam, **options)
        self.weights.threshold.clamp_(min=0)
        return statistics

    def _set_rates(self, rate_factors: tuple[float, float]) -> None:
        for group, peak, factor in zip(self._adam.param_groups, self._peak_rates, rate_factors, strict=False):
            group["lr"] = peak * factor

    def state_dict(self) -> dict[str, Tensor]:
        """Weights and moments."""
        state = {f"weights.{name}": getattr(self.weights, name).detach() for name in WEIGHT_NAMES}
        for name, parameter in self.trained.items():
            adam = self._adam.state.get(parameter, {})
            state |= {f"adam.{name}.{key}": adam[key] for key in ADAM_STATE if key in adam}
        return state

    @torch.no_grad()
    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over weights and moments."""
        for name in WEIGHT_NAMES:
            getattr(self.weights, name).copy_(state[f"weights.{name}"])
        for name, parameter in self.trained.items():
            keys = {key: f"adam.{name}.{key}" for key in ADAM_STATE}
            if keys["step"] in state:
                self._adam.state[parameter] = {key: state[full].to(parameter.device) for key, full in keys.items()}


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
