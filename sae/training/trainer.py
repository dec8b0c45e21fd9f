"""Train a BatchTopK dictionary on stored activations and hand it over as a JumpReLU SAE."""

import logging
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from tqdm import tqdm

from sae.dictionary.autoencoder import SAE
from sae.dictionary.formats import RECORD
from sae.host.sites import Site
from sae.training.batch_topk import BatchTopKWeights, StepResult, forward_backward
from sae.training.calibration import threshold_for_l0, thresholds_under_emphasis
from sae.training.config import BatchTopKConfig
from sae.training.sampling import Sampler

__all__ = ["Emphasis", "StepMetrics", "TrainingRecord", "train_sae"]

logger = logging.getLogger(__name__)

NORMALISATION_TOKENS = 100_000
DEAD_WINDOW = 0.2


@dataclass(frozen=True)
class StepMetrics:
    """The state of training at one step.

    Attributes:
        step: Steps done.
        fvu: Fraction of the batch's variance left unexplained.
        l0: Mean number of active features of a token in the batch.
        learning_rate: Rate of the step.
    """

    step: int
    fvu: float
    l0: float
    learning_rate: float


@dataclass(frozen=True)
class TrainingRecord:
    """What a training run was and how it ended.

    Attributes:
        config: What was asked for.
        metrics: Every `log_every` steps, and the last step.
        n_tokens: Tokens drawn, with repetition.
        threshold: The calibrated JumpReLU threshold, in the host's activation units; the median where features differ.
        dead_share: Share of features silent during the last fifth of the steps.
        seconds: Wall time.
    """

    config: BatchTopKConfig
    metrics: tuple[StepMetrics, ...]
    n_tokens: int
    threshold: float
    dead_share: float
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """The record that is saved with the SAE: reproducible, hence without the wall time and the curve."""
        return {
            "objective": "batch_topk",
            **asdict(self.config),
            "betas": list(self.config.betas),
            "n_tokens": self.n_tokens,
            "final_fvu": self.metrics[-1].fvu,
            "dead_share": self.dead_share,
        }


@dataclass(frozen=True, eq=False)
class Emphasis:
    """How much tokens matter beyond how often they are drawn: the error of a token counts emphasis^2 times.

    Attributes:
        train: Of the training tokens, above 0; 1 is no emphasis.
        held_out: Of the held-out tokens.
    """

    train: Float[Tensor, " tokens"]
    held_out: Float[Tensor, " held_out_tokens"]


def train_sae(
    activations: Float[Tensor, "tokens d_model"],
    weights: Float[Tensor, " weights"] | None,
    config: BatchTopKConfig,
    *,
    held_out: Float[Tensor, "held_out_tokens d_model"],
    emphasis: Emphasis | None = None,
    site: Site | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> tuple[SAE, TrainingRecord]:
    """Train a BatchTopK dictionary (Bussmann et al. 2024) and convert it to JumpReLU.

    Inputs are centred and divided by one scalar; both are folded into the returned weights, which take and
    give activations in the host's units and have unit decoder rows.

    Args:
        activations: Training tokens, in any floating precision; rows are read at random.
        weights: Sampling weight of each token, not negative; None draws uniformly.
        config: How to train.
        held_out: Tokens on which the threshold is set so that the mean L0 is `config.k`.
        emphasis: Tokens whose error counts more, and that may use more features; each feature then gets a
            threshold of its own.
        site: Recorded in the SAE.
        metadata: Recorded in the SAE; the training record is added under `domain_circuits`.

    Returns:
        The SAE in float32 and the record of the run.

    Raises:
        ValueError: Inputs do not fit together, or training diverges.
    """
    start = time.perf_counter()
    generator = torch.Generator(activations.device).manual_seed(config.seed)
    sampler = Sampler(activations, weights, generator=generator)
    mean, scale = _mean_and_scale(sampler.draw(NORMALISATION_TOKENS))
    dictionary = BatchTopKWeights.random(config.d_sae, activations.shape[1], generator=generator)
    metrics, fire_counts = _run(dictionary, sampler, mean, scale, config=config, emphasis=emphasis)
    sae = _fold(dictionary, mean, scale, site=site)
    threshold = _calibrate(sae, held_out, config.k, emphasis)
    record = TrainingRecord(
        config=config,
        metrics=metrics,
        n_tokens=config.steps * config.batch_tokens,
        threshold=float(threshold.median()),
        dead_share=float((fire_counts == 0).float().mean()),
        seconds=time.perf_counter() - start,
    )
    return _finish(sae, threshold, record, metadata or {}), record


def _calibrate(
    sae: SAE, held_out: Float[Tensor, "tokens d_model"], k: float | int, emphasis: Emphasis | None
) -> Float[Tensor, " d_sae"]:
    if emphasis is None:
        return torch.full_like(sae.threshold, threshold_for_l0(sae, held_out, k))
    return thresholds_under_emphasis(sae, held_out, k, emphasis.held_out[:, None])


def _mean_and_scale(sample: Float[Tensor, "tokens d_model"]) -> tuple[Tensor, Tensor]:
    """The mean activation, and the root mean square of an element once it is taken away."""
    mean = sample.mean(0)
    scale = (sample - mean).square().mean().sqrt()
    if not bool(scale > 0):
        raise ValueError(f"the activations have standard deviation {float(scale)}, expected them to vary")
    return mean, scale


def _run(
    dictionary: BatchTopKWeights,
    sampler: Sampler,
    mean: Tensor,
    scale: Tensor,
    *,
    config: BatchTopKConfig,
    emphasis: Emphasis | None,
) -> tuple[tuple[StepMetrics, ...], Tensor]:
    """Move the weights, in place; gives the metrics and how often each feature fired lately."""
    optimiser = torch.optim.Adam(dictionary.parameters(), betas=config.betas, fused=True)
    metrics: list[StepMetrics] = []
    fire_counts = torch.zeros(config.d_sae, dtype=torch.long, device=mean.device)
    progress = tqdm(range(config.steps), desc="training", unit="step", delay=2, disable=None)
    for step in progress:
        for group in optimiser.param_groups:
            group["lr"] = config.learning_rate_at(step)
        rows = sampler.draw_rows(config.batch_tokens)
        x = (sampler.activations[rows].float() - mean) / scale
        of_rows = None if emphasis is None else emphasis.train[rows, None]
        result = forward_backward(dictionary, x, config.k_at(step), phase=step, emphasis=of_rows)
        optimiser.step()
        dictionary.normalise_decoder()
        if step >= config.steps * (1 - DEAD_WINDOW):
            fire_counts += result.fire_counts
        if (step + 1) % config.log_every == 0 or step + 1 == config.steps:
            metrics.append(_observe(step, result, config))
            progress.set_postfix(fvu=f"{metrics[-1].fvu:.4f}", l0=f"{metrics[-1].l0:.1f}")
    return tuple(metrics), fire_counts


def _observe(step: int, result: StepResult, config: BatchTopKConfig) -> StepMetrics:
    metrics = StepMetrics(step + 1, float(result.fvu), result.l0, config.learning_rate_at(step))
    logger.debug("%s", metrics)
    if not torch.isfinite(result.fvu):
        raise ValueError(
            f"training diverged: fvu is {metrics.fvu} at step {metrics.step}; "
            f"lower learning_rate, now {config.learning_rate}"
        )
    return metrics


def _fold(dictionary: BatchTopKWeights, mean: Tensor, scale: Tensor, *, site: Site | None) -> SAE:
    """The same function of raw activations; features are in raw units so that decoder rows stay unit.

    With x = scale * x~ + mean:  scale * pi = (x - mean) @ W_enc + scale * b_enc, and likewise for the output.
    """
    with torch.no_grad():
        return SAE(
            encoder_rows=dictionary.encoder_rows.detach(),
            b_enc=scale * dictionary.b_enc - dictionary.encoder_rows @ mean,
            decoder_rows=dictionary.decoder_rows.detach(),
            b_dec=scale * dictionary.b_dec + mean,
            threshold=torch.zeros_like(dictionary.b_enc),
            site=site,
        )


def _finish(sae: SAE, threshold: Float[Tensor, " d_sae"], record: TrainingRecord, metadata: Mapping[str, Any]) -> SAE:
    """The dictionary with its thresholds and its record."""
    ours = dict(metadata.get(RECORD) or {}) | {"training": record.to_json()}
    return sae.with_threshold(threshold).with_metadata({**metadata, RECORD: ours})
