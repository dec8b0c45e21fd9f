"""One stage of the host's training: a stream of batches, AdamW, a falling learning rate, and checkpoints."""

import logging
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import LlamaForCausalLM

from experiments.clinic.host_accuracy import AnswerTest
from experiments.clinic.host_config import HostTrainingConfig
from experiments.clinic.host_data import Batch, BatchStream
from experiments.clinic.tokenizer import PAD_ID
from experiments.training_state import load_training_state, save_training_state
from sae.progress import progress_counter

__all__ = ["Stage", "learning_rate", "train_stage", "weighted_loss"]

logger = logging.getLogger(__name__)

LOSS_CHUNK_TOKENS = 1024
"""Logits are made for this many tokens at a time: one large allocation is slower than many small ones."""


@dataclass(frozen=True)
class Stage:
    """What one stage reads, for how long, and how it is judged."""

    name: str
    stream: BatchStream
    n_steps: int
    test: AnswerTest
    checkpoint: Path


def train_stage(model: LlamaForCausalLM, stage: Stage, config: HostTrainingConfig) -> dict[str, Any]:
    """Train `model` in place, from the stage's checkpoint where there is one.

    Returns:
        ``seconds`` of training, tests and checkpoints left out, and ``history``: every `report_every` steps
        ``step``, mean ``loss`` since the last entry, ``tokens_per_second``, ``accuracy`` by kind of answer.
    """
    optimizer = _optimizer(model, config)
    record: dict[str, Any] = {"step": 0, "seconds": 0.0, "history": []}
    if stage.checkpoint.exists():
        record = load_training_state(stage.checkpoint, model, optimizer)
    batches = stage.stream.batches(record["step"])
    with progress_counter(stage.n_steps, stage.name, unit="step", done=record["step"]) as bar:
        while record["step"] < stage.n_steps:
            steps = range(record["step"], min(record["step"] + config.report_every, stage.n_steps))
            started = time.perf_counter()
            losses, n_tokens = [], 0
            for step, batch in zip(steps, batches, strict=False):
                _set_learning_rate(optimizer, learning_rate(step, stage.n_steps, config))
                losses.append(_train_step(model, optimizer, batch, config))
                n_tokens += int((batch.ids != PAD_ID).sum())
                bar.update()
            seconds = time.perf_counter() - started
            entry = {
                "step": steps.stop,
                "loss": sum(losses) / len(losses),
                "tokens_per_second": n_tokens / seconds,
                "accuracy": stage.test.accuracy(model),
            }
            logger.info("%s: %s", stage.name, _one_line(entry))
            record = {
                "step": steps.stop,
                "seconds": record["seconds"] + seconds,
                "history": [*record["history"], entry],
            }
            save_training_state(stage.checkpoint, model, optimizer, record)
    return {"seconds": record["seconds"], "history": record["history"]}


def learning_rate(step: int, n_steps: int, config: HostTrainingConfig) -> float:
    """Warm-up, a plateau, and a linear fall to `final_share` of its height at the end."""
    warmup = min(1.0, (step + 1) / config.warmup_steps)
    start_of_fall = n_steps * config.flat_share
    if step < start_of_fall:
        return config.learning_rate * warmup
    remaining = (n_steps - step) / (n_steps - start_of_fall)
    return config.learning_rate * warmup * max(config.final_share, remaining)


def weighted_loss(model: LlamaForCausalLM, batch: Batch, answer_weight: float) -> Float[Tensor, ""]:
    """Mean cross-entropy in nats of the real tokens, in which answers count `answer_weight` times.

    Padding stands on the right, where causal attention never looks, so no attention mask is needed.
    """
    hidden = model.model(input_ids=batch.ids, use_cache=False).last_hidden_state
    targets = batch.ids[:, 1:]
    is_real = targets != PAD_ID
    chunks = zip(
        hidden[:, :-1][is_real].split(LOSS_CHUNK_TOKENS),
        targets[is_real].split(LOSS_CHUNK_TOKENS),
        torch.where(batch.is_answer[:, 1:][is_real], answer_weight, 1.0).split(LOSS_CHUNK_TOKENS),
        strict=True,
    )
    total, total_weight = hidden.new_zeros(()), 0.0
    for hidden_chunk, target, weight in chunks:
        losses = cross_entropy(model.lm_head(hidden_chunk).float(), target, reduction="none")
        total = total + losses @ weight
        total_weight += float(weight.sum())
    return total / total_weight


def _train_step(
    model: LlamaForCausalLM, optimizer: torch.optim.AdamW, batch: Batch, config: HostTrainingConfig
) -> float:
    """One update; returns the loss before it."""
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=_has_fast_bfloat16()):
        loss = weighted_loss(model, batch, config.answer_weight)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), config.gradient_clip)
    optimizer.step()
    optimizer.zero_grad()
    return loss.item()


def _has_fast_bfloat16() -> bool:
    """Whether this CPU multiplies bfloat16 matrices in hardware."""
    return torch.ops.mkldnn._is_mkldnn_bf16_supported()


def _optimizer(model: LlamaForCausalLM, config: HostTrainingConfig) -> torch.optim.AdamW:
    """AdamW that decays matrices, not the gains of norms."""
    matrices = [parameter for parameter in model.parameters() if parameter.ndim > 1]
    gains = [parameter for parameter in model.parameters() if parameter.ndim == 1]
    groups = [
        {"params": matrices, "weight_decay": config.weight_decay},
        {"params": gains, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=config.learning_rate, betas=config.betas, fused=True)


def _set_learning_rate(optimizer: torch.optim.AdamW, value: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = value


def _one_line(entry: dict[str, Any]) -> str:
    """An entry of the history for the log, without the accuracies by kind of document."""
    kinds = [kind for kind in entry["accuracy"] if " " not in kind]
    accuracy = ", ".join(f"{kind} {entry['accuracy'][kind]:.3f}" for kind in kinds)
    return (
        f"step {entry['step']}, loss {entry['loss']:.3f}, {entry['tokens_per_second']:.0f} tokens/s, "
        f"right answers: {accuracy}"
    )
