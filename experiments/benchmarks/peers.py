"""Others' training steps from the same weights as ours: sae-lens's own, and a dense one for torch.compile."""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from sae_lens.config import LoggingConfig, SAETrainerConfig
from sae_lens.saes.jumprelu_sae import JumpReLUTrainingSAE, JumpReLUTrainingSAEConfig
from sae_lens.saes.sae import TrainStepInput
from sae_lens.training.sae_trainer import SAETrainer
from torch import Tensor
from torch.nn import Parameter

from sae.kernels.loss import LossSettings
from sae.kernels.reference import training_loss
from sae.kernels.weights import DictionaryWeights

__all__ = ["DenseStep", "SaeLensRecipe", "SaeLensStep"]


@dataclass(frozen=True, kw_only=True)
class SaeLensRecipe:
    """How sae-lens trains: a JumpReLU dictionary under its quadratic penalty, which is the one with a target.

    Attributes:
        l0: Wanted mean number of active features of a token.
        batch_tokens: Tokens of a step.
        steps: All of them; the rate rises over a twentieth and falls to zero over the last 30 %.
        learning_rate: Peak rate of all weights, thresholds included.
        coefficient: Of the penalty.
        bandwidth: Width of the window around a threshold.
        autocast: Whether products are taken in bfloat16.
    """

    l0: float | int
    batch_tokens: int
    steps: int = 1000
    learning_rate: float = 3e-4
    coefficient: float = 1.0
    bandwidth: float = 0.05
    autocast: bool = False


class SaeLensStep:
    """sae-lens's own trainer, driven step by step on activations that are normalised already.

    Args:
        weights: Where training begins; copied.
        recipe: How to train.
    """

    def __init__(self, weights: DictionaryWeights, recipe: SaeLensRecipe) -> None:
        config = JumpReLUTrainingSAEConfig(
            d_in=weights.d_model,
            d_sae=weights.d_sae,
            device=str(weights.device),
            apply_b_dec_to_input=False,
            normalize_activations="none",
            jumprelu_bandwidth=recipe.bandwidth,
            jumprelu_sparsity_loss_mode="quadratic",
            l0_coefficient=recipe.coefficient,
            target_l0=recipe.l0,
        )
        self.dictionary = _loaded(JumpReLUTrainingSAE(config), weights)
        self.trainer = SAETrainer(_trainer_config(recipe, weights.device), self.dictionary, iter([]))

    def step(self, x: Float[Tensor, "tokens d_model"]) -> Any:
        """One step of theirs: forward, backward, clipping, Adam, bookkeeping; gives their output."""
        output = self.trainer.step(x)
        self.trainer.n_training_steps += 1
        return output

    def gradients(self, x: Float[Tensor, "tokens d_model"]) -> None:
        """Their forward and backward alone; what was in the gradients is overwritten."""
        self.trainer.optimizer.zero_grad()
        with self.trainer.autocast_if_enabled:
            step_input = TrainStepInput(
                sae_in=x,
                dead_neuron_mask=self.trainer.dead_neurons,
                coefficients=self.trainer.get_coefficients(),
                n_training_steps=self.trainer.n_training_steps,
                is_logging_step=False,
            )
            output = self.dictionary.training_forward_pass(step_input)
        output.loss.backward()

    @torch.no_grad()
    def weights(self) -> DictionaryWeights:
        """The dictionary as it is now, with unit decoder rows."""
        norms = self.dictionary.W_dec.norm(dim=1)
        return DictionaryWeights(
            encoder_rows=Parameter((self.dictionary.W_enc * norms).T.contiguous()),
            b_enc=Parameter(self.dictionary.b_enc * norms),
            decoder_rows=Parameter(self.dictionary.W_dec / norms[:, None]),
            b_dec=Parameter(self.dictionary.b_dec.clone()),
            threshold=Parameter(self.dictionary.threshold.clamp(min=0) * norms),
        )


def _trainer_config(recipe: SaeLensRecipe, device: torch.device) -> SAETrainerConfig:
    return SAETrainerConfig(
        total_training_samples=recipe.steps * recipe.batch_tokens,
        train_batch_size_samples=recipe.batch_tokens,
        lr=recipe.learning_rate,
        lr_end=0.0,
        lr_warm_up_steps=recipe.steps // 20,
        lr_decay_steps=3 * recipe.steps // 10,
        device=str(device),
        autocast=recipe.autocast,
        logger=LoggingConfig(log_to_wandb=False),
    )


@torch.no_grad()
def _loaded(dictionary: JumpReLUTrainingSAE, weights: DictionaryWeights) -> JumpReLUTrainingSAE:
    dictionary.W_enc.copy_(weights.encoder_rows.T)
    dictionary.b_enc.copy_(weights.b_enc)
    dictionary.W_dec.copy_(weights.decoder_rows)
    dictionary.b_dec.copy_(weights.b_dec)
    dictionary.threshold.copy_(weights.threshold)
    return dictionary


class DenseStep(torch.nn.Module):
    """The dense loss of a step, to be compiled as a whole and differentiated by autograd.

    Args:
        weights: Trained in place.
        loss: What is minimised.
    """

    def __init__(self, weights: DictionaryWeights, loss: LossSettings) -> None:
        super().__init__()
        self.encoder_rows: Parameter = weights.encoder_rows
        self.b_enc: Parameter = weights.b_enc
        self.decoder_rows: Parameter = weights.decoder_rows
        self.b_dec: Parameter = weights.b_dec
        self.threshold: Parameter = weights.threshold
        self.loss = loss

    def forward(self, x: Float[Tensor, "tokens d_model"]) -> Float[Tensor, ""]:
        """The loss of a batch."""
        weights = DictionaryWeights(self.encoder_rows, self.b_enc, self.decoder_rows, self.b_dec, self.threshold)
        return training_loss(weights, x, self.loss)
