"""Training a BatchTopK dictionary, handed over as JumpReLU."""

import math
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import linear

from sae.activations.statistics import SiteStatistics
from sae.activations.token_draw import TokenDraw
from sae.kernels.loss import StepStatistics, WeightGradients
from sae.kernels.selection import selected_gradients
from sae.kernels.weights import DictionaryWeights
from sae.training.calibration import threshold_for_l0, thresholds_under_emphasis
from sae.training.config import BatchTopKConfig
from sae.training.sae_trainer import Calibrated, SAETrainer, TrainingGoal

__all__ = ["BatchTopKTrainer", "batch_threshold"]

SMALLEST_THRESHOLD = 1e-3
SUBSAMPLE = 31

Step = tuple[StepStatistics, WeightGradients]


class BatchTopKTrainer(SAETrainer):
    """Bussmann et al. 2024: the largest pre-activations of a batch are active, k of a token on average.

    Args:
        goal: What to train, with a `BatchTopKConfig`.
        statistics: Of the site's activations.
        device: Where to train.

    Raises:
        ValueError: There is a dictionary to begin with, whose thresholds would be lost.
    """

    def __init__(self, goal: TrainingGoal, statistics: SiteStatistics, *, device: torch.device) -> None:
        assert isinstance(goal.config, BatchTopKConfig)
        if goal.start is not None:
            raise ValueError(f"{goal.name} is to begin with an SAE, which BatchTopK cannot; use architecture jumprelu")
        self.config = goal.config
        generator = torch.Generator(device).manual_seed(self.config.seed)
        weights = DictionaryWeights.random(self.config.d_sae, len(statistics.mean), generator=generator)
        super().__init__(goal, weights, statistics, threshold_learning_rate=None)

    @property
    def l0_target(self) -> float:
        """k of the next step."""
        return self.config.k_at(self.steps_done)

    @torch.no_grad()
    def gradients(self, x: Float[Tensor, "tokens d_model"], draw: TokenDraw) -> tuple[StepStatistics, WeightGradients]:
        """Of the squared error, the selection being a constant.

        With emphasis a the error of a token counts a^2 times, and features are selected by a * pre_act: at unit
        decoder rows, by how much they lower that loss.
        """
        pre_acts = self._pre_acts(x)
        k, phase = self.l0_target, self.steps_done
        if draw.emphasis is None:
            emphasis, threshold = None, batch_threshold(pre_acts, k, phase=phase)
        else:
            emphasis = draw.emphasis.to(x)[:, None]
            threshold = batch_threshold(pre_acts * emphasis, k, phase=phase) / emphasis
        return self._gradients_of_selection(
            x,
            threshold,
            pre_acts=pre_acts,
            emphasis=emphasis,
            error_weight=1 / self.loss_unit,
            kernel=self.config.kernel,
            shadows=self._shadows,
        )

    def _gradients_of_selection(self, x: Tensor, threshold: Tensor, **options: Any) -> Step:
        """The selection made, what is lost and where that moves the weights."""
        return selected_gradients(self.weights, x, threshold, **options)

    def _pre_acts(self, x: Float[Tensor, "tokens d_model"]) -> Float[Tensor, "tokens d_sae"]:
        if self._shadows is None:
            return linear(x, self.weights.encoder_rows, self.weights.b_enc)
        return self._shadows.products(x).add_(self.weights.b_enc)

    def calibrated(
        self, held_out: Float[Tensor, "tokens d_model"], emphasis: Float[Tensor, " tokens"] | None
    ) -> Calibrated:
        """One threshold for all features; under emphasis one for each."""
        sae, k = self.folded(), self.config.k
        if emphasis is None:
            threshold = torch.full_like(sae.threshold, threshold_for_l0(sae, held_out, k))
        else:
            threshold = thresholds_under_emphasis(sae, held_out, k, emphasis[:, None])
        return Calibrated(sae.with_threshold(threshold), {"threshold": float(threshold.median())})


def batch_threshold(pre_acts: Float[Tensor, "tokens d_sae"], k: float | int, *, phase: int = 0) -> Float[Tensor, ""]:
    """Threshold that leaves about `k` features of a token active, the mean being taken over the batch.

    The quantile is estimated from every 31st entry: sorting all would cost more than the rest of the step.

    Args:
        pre_acts: Pre-activations.
        k: Wanted mean number of active features of a token.
        phase: First entry looked at; vary it from step to step.
    """
    d_sae = pre_acts.shape[1]
    stride = next(stride for stride in range(SUBSAMPLE, 2 * SUBSAMPLE) if math.gcd(stride, d_sae) == 1)
    sample = pre_acts.flatten()[phase % stride :: stride]
    n_active = min(max(1, round(len(sample) * k / d_sae)), len(sample))
    return sample.topk(n_active).values[-1].clamp(min=SMALLEST_THRESHOLD)
