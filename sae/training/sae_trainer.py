"""One dictionary in training: what all architectures share."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from jaxtyping import Float
from torch import Tensor

from sae.activations.statistics import SiteStatistics
from sae.activations.token_draw import TokenDraw
from sae.dictionary.autoencoder import SAE
from sae.host.sites import Site
from sae.kernels.loss import StepStatistics, WeightGradients
from sae.kernels.shadows import BFloat16Shadows
from sae.kernels.weights import DictionaryWeights
from sae.training.config import TrainingConfig
from sae.training.dead_features import DeadFeatures
from sae.training.loss_unit import UnexplainedShare
from sae.training.metrics import StepMetrics
from sae.training.normalisation import fold, normalise
from sae.training.optimisation import WeightOptimiser, clip

__all__ = ["Calibrated", "SAETrainer", "TrainerState", "TrainingGoal"]

DENSE_SHARE = 0.1
SHADOW_STEPS = 100
"""Steps after which it is decided anew whether pre-activations may be bfloat16."""

TrainerState = dict[str, Tensor | float]


@dataclass(frozen=True, eq=False)
class TrainingGoal:
    """One dictionary to train.

    Attributes:
        name: Of the dictionary in records and checkpoints; a file name.
        site: Whose activations it decomposes.
        config: How to train; its type is the architecture.
        start: A dictionary to begin with instead of random weights.
        metadata: Recorded in the SAE.
    """

    name: str
    site: Site
    config: TrainingConfig
    start: SAE | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """All that decides what comes out of training, but the tokens."""
        start = None if self.start is None else self.start.content_hash
        return {"site": str(self.site), **self.config.to_json(), "start": start}


@dataclass(frozen=True, eq=False)
class Calibrated:
    """A finished dictionary.

    Attributes:
        sae: In the host's units.
        calibration: By what the thresholds were set or multiplied on held-out tokens, for the record.
    """

    sae: SAE
    calibration: dict[str, float]


class SAETrainer(ABC):
    """A dictionary, its optimiser, and all else that changes from step to step.

    Args:
        goal: What to train.
        weights: Where training begins, in units of normalised activations; moved in place.
        statistics: Of the site's activations.
        threshold_learning_rate: Peak rate of the thresholds; None where they are not trained.
        bandwidth: Of the window through which thresholds learn; None where there is none.
    """

    def __init__(
        self,
        goal: TrainingGoal,
        weights: DictionaryWeights,
        statistics: SiteStatistics,
        *,
        threshold_learning_rate: float | None,
        bandwidth: float | None = None,
    ) -> None:
        config = goal.config
        self.goal = goal
        self.weights = weights
        self.statistics = statistics
        self.steps_done = 0
        self.tokens_seen = 0
        self.dead = DeadFeatures(config.d_sae, after_tokens=config.dead_after_tokens, device=weights.device)
        self._unexplained = UnexplainedShare()
        self._optimiser = WeightOptimiser(
            weights,
            learning_rate=config.learning_rate,
            threshold_learning_rate=threshold_learning_rate,
            betas=config.betas,
        )
        self._bandwidth = bandwidth
        self._shadows: BFloat16Shadows | None = None
        self._last: StepStatistics | None = None
        self._last_tokens = 0
        self._last_density: float | None = None

    @property
    @abstractmethod
    def l0_target(self) -> float:
        """L0 that the next step should have."""

    @abstractmethod
    def gradients(self, x: Float[Tensor, "tokens d_model"], draw: TokenDraw) -> tuple[StepStatistics, WeightGradients]:
        """Loss and gradients on normalised activations."""

    @abstractmethod
    def calibrated(
        self, held_out: Float[Tensor, "tokens d_model"], emphasis: Float[Tensor, " tokens"] | None
    ) -> Calibrated:
        """The dictionary with thresholds that give the wanted L0 on held-out tokens, which may differ in emphasis."""

    def step(self, draw: TokenDraw) -> None:
        """One optimiser step on the tokens drawn."""
        x = normalise(draw.activations[self.goal.site].to(self.weights.device), self.statistics)
        self._renew_shadows()
        statistics = self.update(x, draw)
        # in units that do not move from step to step
        statistics = replace(statistics, penalty=statistics.penalty * self.loss_unit)
        self._unexplained.update(float(statistics.squared_error) / self.weights.d_model)
        self.dead.update(statistics.fire_counts, len(x))
        self._last, self._last_tokens, self._last_density = statistics, len(x), statistics.density
        self.steps_done += 1
        self.tokens_seen += len(x)

    @property
    def loss_unit(self) -> float:
        """By what the loss of the next step is divided, as a share of the activations' variance."""
        return self._unexplained.value if self.goal.config.loss_unit == "unexplained" else 1.0

    def update(self, x: Float[Tensor, "tokens d_model"], draw: TokenDraw) -> StepStatistics:
        """Gradients, clipping, optimiser."""
        config = self.goal.config
        statistics, gradients = self.gradients(x, draw)
        clip(gradients, config.clipping, config.clip_norm)
        self._optimiser.step(
            gradients, rate_factors=self._rate_factors, loss_unit=self.loss_unit, shadows=self._shadows
        )
        return statistics

    @property
    def _rate_factors(self) -> tuple[float, float]:
        """Shares of the peak rates of weights and thresholds in the next step."""
        config = self.goal.config
        return config.learning_rate_factor(self.steps_done), config.warmup_factor(self.steps_done)

    def _renew_shadows(self) -> None:
        """bfloat16 copies of the weights on a GPU; a processor computes in float32."""
        if self.weights.device.type == "cuda" and (self._shadows is None or self.steps_done % SHADOW_STEPS == 0):
            self._shadows = BFloat16Shadows.of(self.weights, self._bandwidth)

    def metrics(self) -> StepMetrics:
        """The state after the last step.

        Raises:
            ValueError: Training has diverged.
        """
        last, config = self._last, self.goal.config
        assert last is not None, "no step was done in this process"
        d_model = self.weights.d_model
        metrics = StepMetrics(
            step=self.steps_done,
            tokens=self.tokens_seen,
            loss=float(last.squared_error + last.penalty) / d_model,
            fvu=float(last.squared_error) / d_model,
            l0=last.l0,
            l0_target=self.l0_target,
            dead_share=float(self.dead.mask.float().mean()),
            dense_share=float((last.fire_counts > DENSE_SHARE * self._last_tokens).float().mean()),
            learning_rate=config.learning_rate * config.learning_rate_factor(self.steps_done - 1),
            kernel=last.kernel,
            density=last.density,
        )
        if not metrics.loss < float("inf"):
            raise ValueError(
                f"training of {self.goal.name} diverged: fvu is {metrics.fvu} at step {metrics.step}; "
                f"lower learning_rate, now {config.learning_rate}"
            )
        return metrics

    def folded(self) -> SAE:
        """The dictionary as it is now, in the host's units."""
        return fold(self.weights, self.statistics, site=self.goal.site)

    def state_dict(self) -> TrainerState:
        """All that the next steps depend on."""
        state: TrainerState = {
            **self._optimiser.state_dict(),
            "silent_tokens": self.dead.silent_tokens,
            "unexplained": self._unexplained.value,
            "steps_done": self.steps_done,
            "tokens_seen": self.tokens_seen,
        }
        return state if self._last_density is None else state | {"last_density": self._last_density}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state."""
        self._optimiser.load_state_dict(state)
        self._shadows = None
        self.dead.silent_tokens.copy_(state["silent_tokens"])
        self.steps_done, self.tokens_seen = int(state["steps_done"]), int(state["tokens_seen"])
        self._unexplained.value = state["unexplained"]
        self._last_density = state.get("last_density")
