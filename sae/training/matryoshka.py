"""Training a Matryoshka BatchTopK dictionary: its first features are to be a good small dictionary of their own."""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from sae.activations.statistics import SiteStatistics
from sae.kernels.nested import nested_gradients
from sae.training.batch_topk import BatchTopKTrainer, Step
from sae.training.config import MatryoshkaConfig
from sae.training.metrics import StepMetrics
from sae.training.sae_trainer import TrainingGoal

__all__ = ["MatryoshkaTrainer"]


class MatryoshkaTrainer(BatchTopKTrainer):
    """Bussmann et al. 2025 (arXiv 2503.17547): the sum of the squared errors of nested prefixes of the dictionary.

    Features are selected once for the batch, over the whole width, as in BatchTopK; there is no auxiliary loss.

    Args:
        goal: What to train, with a `MatryoshkaConfig`.
        statistics: Of the site's activations.
        device: Where to train.

    Raises:
        ValueError: As in `BatchTopKTrainer`.
    """

    def __init__(self, goal: TrainingGoal, statistics: SiteStatistics, *, device: torch.device) -> None:
        super().__init__(goal, statistics, device=device)
        assert isinstance(goal.config, MatryoshkaConfig)
        self._sizes = goal.config.prefix_sizes
        self._squared_errors: Tensor | None = None

    def _gradients_of_selection(self, x: Tensor, threshold: Tensor, **options: Any) -> Step:
        """Of all prefixes together."""
        statistics, gradients, squared_errors = nested_gradients(self.weights, x, threshold, self._sizes, **options)
        self._squared_errors = squared_errors
        return statistics, gradients

    def metrics(self) -> StepMetrics:
        """The state after the last step, what each prefix leaves unexplained included."""
        assert self._squared_errors is not None, "no step was done in this process"
        by_prefix = tuple(squared_error / self.weights.d_model for squared_error in self._squared_errors.tolist())
        return replace(super().metrics(), prefix_fvu=by_prefix)
