"""A null of training: the decoder stays the random unit rows that it began with, and only the rest learns.

Korznikov et al. 2026 (arXiv 2602.14111): dictionaries with a frozen random decoder come close to trained ones in many
scores. What a trained dictionary does not have beyond such a one, its directions do not account for.
"""

from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from sae.activations.statistics import SiteStatistics
from sae.activations.token_draw import TokenDraw
from sae.kernels.loss import StepStatistics, WeightGradients
from sae.training.jump_relu import JumpReLUTrainer
from sae.training.sae_trainer import SAETrainer, TrainingGoal

__all__ = ["FrozenDecoderTrainer", "frozen_decoder_trainer"]


class FrozenDecoderTrainer(JumpReLUTrainer):
    """Encoder, both biases and thresholds learn as ever; to begin with the encoder reads what the decoder writes."""

    @property
    def updates_at_once(self) -> bool:
        """Never: the decoder's gradient is taken out first."""
        return False

    def gradients(self, x: Float[Tensor, "tokens d_model"], draw: TokenDraw) -> tuple[StepStatistics, WeightGradients]:
        """Those of plain training with none for the decoder rows, which Adam then leaves alone."""
        statistics, gradients = super().gradients(x, draw)
        return statistics, replace(gradients, decoder_rows=torch.zeros_like(gradients.decoder_rows))


def frozen_decoder_trainer(goal: TrainingGoal, statistics: SiteStatistics, device: torch.device) -> SAETrainer:
    """What `train` needs to train so."""
    return FrozenDecoderTrainer(goal, statistics, device=device)
