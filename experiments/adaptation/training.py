"""The training loop: AdamW over rows of tokens, on one process or several."""

import math
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor, nn

from experiments.adaptation.settings import AdaptationSettings
from experiments.adaptation.token_blocks import TokenBlocks, rows_of_pass
from experiments.training_state import load_training_state, save_training_state
from sae.progress import progress_counter
from sae.training.interruption import deferred_interruption

__all__ = ["TrainingLog", "learning_rate", "train_on_blocks"]

BETAS = (0.9, 0.95)
FINAL_SHARE = 0.1
LOG_ENTRIES = 50


@dataclass(frozen=True)
class TrainingLog:
    """How a run went.

    Attributes:
        seconds: Of training, over all parts of a run that was interrupted.
        history: About fifty entries of ``step``, mean ``loss`` in nats since the last one over all processes, and
            ``learning_rate``.
    """

    seconds: float
    history: list[dict[str, int | float]]


def train_on_blocks(
    model: nn.Module,
    blocks: TokenBlocks,
    settings: AdaptationSettings,
    accelerator: Any,
    *,
    state: Path,
    checkpoint_every: int,
) -> TrainingLog:
    """Train `model` in place, from the state on disk where there is one.

    Args:
        model: On the accelerator's device; its parameters that require gradients are trained.
        blocks: What to read; every epoch goes once through it.
        settings: How.
        accelerator: An `accelerate.Accelerator` whose accumulation and precision are those of the settings.
        state: A safetensors file, written every `checkpoint_every` updates and when the process is asked to end.
        checkpoint_every: Updates.

    Raises:
        ValueError: The loss is not finite, and the last checkpoint is kept; or the state is of another number of
            processes.
        SystemExit: The process was asked to end; the state is on disk.
    """
    optimizer = _optimizer(model, settings)
    record: dict[str, Any] = {"step": 0, "seconds": 0.0, "history": [], "losses": []}
    if state.is_file():
        record = load_training_state(state, model, optimizer)
        _check_as_many(record.get("processes", 1), accelerator.num_processes, state)
    done, history, losses = record["step"], record["history"], record["losses"]
    prepared, stepper = accelerator.prepare(model, optimizer)
    n_steps = settings.n_steps(accelerator.num_processes)
    log_every = max(1, n_steps // LOG_ENTRIES)
    started = time.perf_counter() - record["seconds"]
    with deferred_interruption() as interruption, progress_counter(n_steps, "adapt", unit="step", done=done) as bar:
        for step in range(done, n_steps):
            rate = learning_rate(step, n_steps, settings)
            for group in stepper.param_groups:
                group["lr"] = rate
            passes = _passes(blocks, step, settings, accelerator)
            own = _update(prepared, stepper, passes, settings, accelerator)
            loss, must_end = _agreed(own, interruption.signal is not None, accelerator)
            losses.append(loss)
            bar.update()
            if (step + 1) % log_every == 0 or step + 1 == n_steps:
                history.append({"step": step + 1, "loss": sum(losses) / len(losses), "learning_rate": rate})
                losses = []
                bar.set_postfix(loss=f"{history[-1]['loss']:.3f}")
            if (must_end or (step + 1) % checkpoint_every == 0) and accelerator.is_main_process:
                seconds = time.perf_counter() - started
                record = {"step": step + 1, "seconds": seconds, "history": history, "losses": losses}
                record["processes"] = accelerator.num_processes
                save_training_state(state, model, optimizer, record)
            if must_end:
                accelerator.wait_for_everyone()  # a launcher ends all processes when the first one is gone
                raise interruption.exit()
    return TrainingLog(time.perf_counter() - started, history)


def _check_as_many(before: int, now: int, state: Path) -> None:
    """A step is a number of rows only for one number of processes."""
    if before != now:
        raise ValueError(
            f"checkpoint {str(state)!r} was written by {before} processes, not {now}; start {before}, or give "
            "another --out"
        )


def learning_rate(step: int, n_steps: int, settings: AdaptationSettings) -> float:
    """Linear warm-up to the peak, then half a cosine down to a tenth of it."""
    n_warmup = max(1, round(settings.warmup_share * n_steps))
    if step < n_warmup:
        return settings.learning_rate * (step + 1) / n_warmup
    way = (step - n_warmup) / max(1, n_steps - n_warmup)
    return settings.learning_rate * (FINAL_SHARE + (1 - FINAL_SHARE) * (1 + math.cos(math.pi * way)) / 2)


def _passes(
    blocks: TokenBlocks, step: int, settings: AdaptationSettings, accelerator: Any
) -> Iterable[Int[Tensor, "batch context"]]:
    """What this process reads for one update."""
    for accumulated in range(settings.accumulation):
        number = (step * settings.accumulation + accumulated) * accelerator.num_processes + accelerator.process_index
        rows = rows_of_pass(number, n_blocks=len(blocks.ids), batch_size=settings.batch_size, seed=settings.seed)
        yield blocks.ids[rows].long().to(accelerator.device)


def _update(
    model: Any, stepper: Any, passes: Iterable[Tensor], settings: AdaptationSettings, accelerator: Any
) -> float:
    """One update; returns the mean loss of this process's passes before it, which may not be finite."""
    losses: list[Tensor] = []
    for ids in passes:
        with accelerator.accumulate(model):
            loss = model(input_ids=ids, labels=ids, use_cache=False).loss
            accelerator.backward(loss)
            if accelerator.sync_gradients:
                accelerator.clip_grad_norm_(model.parameters(), settings.max_norm)
            stepper.step()
            stepper.zero_grad()
            losses.append(loss.detach())
    return float(torch.stack(losses).mean())


def _agreed(loss: float, must_end: bool, accelerator: Any) -> tuple[float, bool]:
    """The mean loss of all processes, and whether any was asked to end: they go on, end and fail together.

    Raises:
        ValueError: The loss is not finite.
    """
    if accelerator.num_processes > 1:
        own = torch.tensor([loss, float(must_end)], device=accelerator.device, dtype=torch.float64)
        loss, share = accelerator.reduce(own, reduction="mean").tolist()
        must_end = share > 0
    if not math.isfinite(loss):
        raise ValueError(f"the training loss is {loss}, expected a finite number; lower the learning rate")
    return loss, must_end


def _optimizer(model: nn.Module, settings: AdaptationSettings) -> torch.optim.AdamW:
    """AdamW that decays matrices only."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = [
        {"params": [parameter for parameter in trained if parameter.ndim > 1], "weight_decay": settings.weight_decay},
        {"params": [parameter for parameter in trained if parameter.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(
        [group for group in groups if group["params"]], lr=settings.learning_rate, betas=BETAS, fused=True
    )
