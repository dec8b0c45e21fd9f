"""Training a JumpReLU dictionary: thresholds learn through a window, a controller keeps L0 at what is wanted."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import linear

from sae.activations.statistics import SiteStatistics
from sae.activations.token_draw import TokenDraw
from sae.kernels.dispatch import loss_and_gradients
from sae.kernels.loss import LossSettings, StepStatistics, WeightGradients
from sae.kernels.weights import DictionaryWeights
from sae.training.calibration import threshold_factor_for_l0
from sae.training.config import JumpReLUConfig
from sae.training.metrics import StepMetrics, ThresholdMetrics
from sae.training.normalisation import normalise, unfold
from sae.training.sae_trainer import Calibrated, SAETrainer, TrainerState, TrainingGoal
from sae.training.self_information import SelfInformation
from sae.training.sparsity_control import L0Controller

__all__ = ["JumpReLUTrainer"]

WATCHED_TOKENS = 256
"""Held-out tokens of a step whose L0 the controller looks at."""


class JumpReLUTrainer(SAETrainer):
    """Rajamanoharan et al. 2024, with L0 as the setting instead of its coefficient.

    Args:
        goal: What to train, with a `JumpReLUConfig`.
        statistics: Of the site's activations.
        device: Where to train.
    """

    def __init__(self, goal: TrainingGoal, statistics: SiteStatistics, *, device: torch.device) -> None:
        assert isinstance(goal.config, JumpReLUConfig)
        self.config = goal.config
        weights = _start(goal, self.config, statistics, device)
        super().__init__(
            goal,
            weights,
            statistics,
            threshold_learning_rate=self.config.threshold_learning_rate,
            bandwidth=self.config.bandwidth,
        )
        self.controller = L0Controller(
            proportional_gain=self.config.proportional_gain,
            integral_gain=self.config.integral_gain,
            coefficient=self.config.initial_coefficient,
        )
        self._information: SelfInformation | None = None
        if self.config.objective == "description_length":
            self._information = SelfInformation(
                self.config.d_sae, l0=self.config.wanted_l0, value_bits=self.config.value_bits, device=weights.device
            )
        self._initial_l0: float | None = None
        self._watched: Tensor | None = None
        self._initial_threshold = weights.threshold.detach().clone()

    @property
    def l0_target(self) -> float:
        """Geometric from the first L0 seen to the wanted one."""
        initial = self.config.wanted_l0 if self._initial_l0 is None else self._initial_l0
        return self.config.l0_at(self.steps_done, initial=initial)

    def gradients(self, x: Float[Tensor, "tokens d_model"], draw: TokenDraw) -> tuple[StepStatistics, WeightGradients]:
        """At the present coefficient, which follows from the L0 of the steps before."""
        return loss_and_gradients(self.weights, x, self.loss_settings, **self._step_options(x, draw))

    def update(self, x: Float[Tensor, "tokens d_model"], draw: TokenDraw) -> StepStatistics:
        """At once where nothing comes between gradients and optimiser."""
        if not self.updates_at_once:
            return super().update(x, draw)
        options = self._step_options(x, draw)
        return self._optimiser.whole_step(
            x, self.loss_settings, rate_factors=self._rate_factors, loss_unit=self.loss_unit, **options
        )

    @property
    def updates_at_once(self) -> bool:
        """Whether gradients go to the optimiser as they are."""
        return self.config.clipping == "none"

    def _step_options(self, x: Tensor, draw: TokenDraw) -> dict[str, Any]:
        """What a step of the kernels takes beside weights, batch and loss."""
        return {
            "dead": self.dead.mask if self.config.pre_act_coefficient else None,
            "emphasis": None if draw.emphasis is None else draw.emphasis.to(x)[:, None],
            "kernel": self.config.kernel,
            "last_density": self._last_density,
            "shadows": self._shadows,
        }

    def step(self, draw: TokenDraw) -> None:
        """One optimiser step, then one of the controller."""
        super().step(draw)
        assert self._last is not None, "a step was just done"
        l0 = self._last.l0 if self._watched is None else self._watched_l0(self._watched)
        if self._information is not None:
            self._information.update(self._last.fire_counts, self._last_tokens)
        if self._initial_l0 is None:
            self._initial_l0 = l0
        factor = self.controller.update(l0, self.l0_target)
        with torch.no_grad():
            self.weights.threshold.mul_(torch.where(self.dead.mask, self.controller.dead_factor, factor))

    def watch(self, held_out: Float[Tensor, "tokens d_model"]) -> None:
        """Control L0 on these tokens from now on.

        Training tokens may be drawn by importance, and have another L0 than tokens as they come. Were L0 controlled on
        those, the calibration at the end would raise or lower every threshold by what the two differ.
        """
        generator = torch.Generator().manual_seed(self.config.seed)
        self._watched = held_out[torch.randperm(len(held_out), generator=generator).to(held_out.device)]

    @torch.no_grad()
    def _watched_l0(self, tokens: Float[Tensor, "tokens d_model"]) -> float:
        """Mean L0 of the next few of the tokens, which are looked at in turn."""
        first = self.steps_done * WATCHED_TOKENS
        rows = torch.arange(first, first + WATCHED_TOKENS, device=tokens.device) % len(tokens)
        x = normalise(tokens[rows].to(self.weights.device).float(), self.statistics)
        pre_acts = linear(x, self.weights.encoder_rows, self.weights.b_enc)
        return float((pre_acts > self.weights.threshold).sum(1).float().mean())

    @property
    def loss_settings(self) -> LossSettings:
        """The loss of the next step."""
        config, d_model = self.config, self.weights.d_model
        return LossSettings(
            sparsity="step" if config.objective == "description_length" else config.objective,
            # the variance of a whole activation is d_model
            coefficient=self.controller.coefficient * d_model,
            bandwidth=config.bandwidth,
            l0_target=self.l0_target,
            tanh_scale=config.tanh_scale,
            gradient_through_window=config.gradient_through_window,
            pre_act_coefficient=config.pre_act_coefficient,
            feature_costs=None if self._information is None else self._information.costs,
        ).divided(self.loss_unit)

    def metrics(self) -> StepMetrics:
        """The state after the last step, thresholds and controller included."""
        assert self._last is not None, "no step was done in this process"
        threshold = self.weights.threshold.detach()
        window_counts = self._last.window_counts
        thresholds = ThresholdMetrics(
            coefficient=self.controller.coefficient,
            window_share=float(window_counts.float().mean()) / self._last_tokens,
            median=float(threshold.median()),
            moved=float((threshold - self._initial_threshold).abs().mean()),
        )
        return replace(super().metrics(), thresholds=thresholds)

    def calibrated(
        self, held_out: Float[Tensor, "tokens d_model"], emphasis: Float[Tensor, " tokens"] | None
    ) -> Calibrated:
        """Every threshold multiplied by one factor, with which the mean L0 of held-out tokens is the wanted one."""
        sae = self.folded()
        factor = threshold_factor_for_l0(sae, held_out, self.config.l0)
        return Calibrated(sae.with_threshold(sae.threshold * factor), {"threshold_factor": factor})

    def state_dict(self) -> TrainerState:
        """All that the next steps depend on, the controller included."""
        state = super().state_dict() | {"initial_threshold": self._initial_threshold}
        state |= {f"controller.{name}": value for name, value in self.controller.state_dict().items()}
        if self._information is not None:
            state["firing_rates"] = self._information.rates
        return state if self._initial_l0 is None else state | {"initial_l0": self._initial_l0}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state."""
        super().load_state_dict(state)
        prefix = "controller."
        self.controller.load_state_dict(
            {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
        )
        self._initial_threshold = state["initial_threshold"]
        self._initial_l0 = state.get("initial_l0")
        if self._information is not None:
            self._information.rates.copy_(state["firing_rates"])


def _start(
    goal: TrainingGoal, config: JumpReLUConfig, statistics: SiteStatistics, device: torch.device
) -> DictionaryWeights:
    """Random weights, or those of the dictionary to begin with."""
    if goal.start is not None:
        return unfold(goal.start.to(device), statistics)
    generator = torch.Generator(device).manual_seed(config.seed)
    return DictionaryWeights.random(
        config.d_sae, len(statistics.mean), generator=generator, threshold=config.initial_threshold
    )
