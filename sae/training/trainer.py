"""Train dictionaries on the tokens of one source: several sites, widths and L0s in one pass."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from sae.activations.statistics import SiteStatistics
from sae.dictionary.autoencoder import SAE
from sae.dictionary.formats.stored import RECORD
from sae.host.sites import Site
from sae.kernels.weights import check_has_thresholds
from sae.progress import progress_counter
from sae.training.batch_topk import BatchTopKTrainer
from sae.training.config import BatchTopKConfig, JumpReLUConfig, MatryoshkaConfig, TrainingConfig
from sae.training.interruption import Interruption, deferred_interruption
from sae.training.jump_relu import JumpReLUTrainer
from sae.training.matryoshka import MatryoshkaTrainer
from sae.training.memory import check_memory
from sae.training.memory_source import Emphasis, MemorySource
from sae.training.metrics import MetricsLog, StepMetrics
from sae.training.run import TrainingRun
from sae.training.sae_trainer import Calibrated, SAETrainer, TrainingGoal
from sae.training.token_source import TokenSource

__all__ = ["TrainedDictionary", "TrainingRecord", "train", "train_sae", "trainer_for"]

DEAD_WINDOW = 0.2
ALL_ROWS = slice(None)

TRAINERS = (
    (MatryoshkaConfig, MatryoshkaTrainer),
    (BatchTopKConfig, BatchTopKTrainer),
    (JumpReLUConfig, JumpReLUTrainer),
)
"""The first whose configuration fits: some are special cases of later ones."""

MakeTrainer = Callable[[TrainingGoal, SiteStatistics, torch.device], SAETrainer]


@dataclass(frozen=True)
class TrainingRecord:
    """What training a dictionary was and how it ended.

    Attributes:
        config: What was asked for.
        metrics: Every `log_every` steps, and the last step.
        n_tokens: Tokens drawn, with repetition.
        threshold: Median of the calibrated JumpReLU thresholds, in the host's activation units.
        calibration: To what, or by what factor, the thresholds were set on held-out tokens.
        dead_share: Share of features silent during the last fifth of the tokens.
        seconds: Wall time of this process.
        tokens_per_second: Speed of this process, all dictionaries of the run together; None where it did no step.
    """

    config: TrainingConfig
    metrics: tuple[StepMetrics, ...]
    n_tokens: int
    threshold: float
    calibration: Mapping[str, float]
    dead_share: float
    seconds: float
    tokens_per_second: float | None

    def to_json(self) -> dict[str, Any]:
        """The record that is saved with the SAE: reproducible, hence without the wall time and the curve."""
        return {
            **self.config.to_json(),
            "n_tokens": self.n_tokens,
            "final_fvu": self.metrics[-1].fvu if self.metrics else None,
            **self._final_prefix_fvu,
            "dead_share": self.dead_share,
            "calibration": dict(self.calibration),
        }

    @property
    def _final_prefix_fvu(self) -> dict[str, list[float]]:
        """What each nested prefix leaves unexplained, where there are such."""
        by_prefix = self.metrics[-1].prefix_fvu if self.metrics else None
        return {} if by_prefix is None else {"final_prefix_fvu": list(by_prefix)}


@dataclass(frozen=True, eq=False)
class TrainedDictionary:
    """A finished dictionary in float32, and how it came about."""

    sae: SAE
    record: TrainingRecord


def trainer_for(goal: TrainingGoal, statistics: SiteStatistics, device: torch.device) -> SAETrainer:
    """The trainer of a goal's architecture."""
    kind = next(trainer for config, trainer in TRAINERS if isinstance(goal.config, config))
    return kind(goal, statistics, device=device)


def train(
    source: TokenSource,
    goals: Sequence[TrainingGoal],
    *,
    directory: Path | None = None,
    checkpoint_every: int | None = None,
    resume: bool = False,
    device: torch.device | str = "cpu",
    calibration_rows: slice = ALL_ROWS,
    make_trainer: MakeTrainer = trainer_for,
) -> dict[str, TrainedDictionary]:
    """Train every goal on the same tokens; all take one optimiser step on every draw.

    Inputs are centred and divided by one scalar a site; both are folded into the weights at the end, which take and
    give activations in the host's units and have unit decoder rows.

    Args:
        source: Where tokens come from.
        goals: What to train; names differ, steps and batch size do not.
        directory: Where checkpoint and metrics go; None keeps the run in memory.
        checkpoint_every: Steps between checkpoints; None writes one at the end and when the process is asked to stop.
        resume: Go on from the checkpoint in `directory`. Resumed on the CPU, a run ends in the same bits as
            one that was never interrupted; one that had ended gives its result again.
        device: Where to train.
        calibration_rows: Which of the held-out tokens L0 is controlled and thresholds are set on; it is to be judged on
            others.
        make_trainer: How a goal is trained.

    Returns:
        The finished dictionaries by name.

    Raises:
        ValueError: The goals do not fit the source, each other, the memory or the checkpoint; activations are not
            finite; or training diverges. The last checkpoint is kept.
        SystemExit: SIGTERM or SIGINT came; the checkpoint was written.
    """
    start = time.perf_counter()
    device = torch.device(device)
    _check_goals(source, goals)
    check_memory(goals, source.d_model, device)
    trainers = {goal.name: make_trainer(goal, source.statistics(goal.site), device) for goal in goals}
    for trainer in trainers.values():
        if isinstance(trainer, JumpReLUTrainer):
            trainer.watch(source.held_out(trainer.goal.site)[calibration_rows])
    run = TrainingRun(source, trainers, directory)
    if resume:
        run.resume()
    else:
        run.check_directory()
    try:
        with MetricsLog(run.metrics_path, until_step=run.steps_done) as log, deferred_interruption() as interruption:
            speed = _run(run, log, checkpoint_every, interruption)
        finished = {name: _calibrated(trainer, source, calibration_rows) for name, trainer in trainers.items()}
    except ValueError:
        run.discard_unless_saved()
        raise
    seconds = time.perf_counter() - start
    return {
        name: _recorded(trainers[name], calibrated, log.of.get(name, []), seconds=seconds, tokens_per_second=speed)
        for name, calibrated in finished.items()
    }


def train_sae(
    activations: Float[Tensor, "tokens d_model"],
    weights: Float[Tensor, " weights"] | None,
    config: TrainingConfig,
    *,
    held_out: Float[Tensor, "held_out_tokens d_model"],
    site: Site,
    emphasis: Emphasis | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> tuple[SAE, TrainingRecord]:
    """Train one dictionary on activations in memory.

    Args:
        activations: Training tokens, in any floating precision; rows are read at random.
        weights: Sampling weight of each token, not negative; None draws uniformly.
        config: How to train.
        held_out: Tokens on which thresholds are set so that the mean L0 is the wanted one.
        site: Where the activations are from.
        emphasis: Tokens whose error counts more, and that may use more features; each feature of a BatchTopK
            dictionary then gets a threshold of its own.
        metadata: Recorded in the SAE; the training record is added under `domain_circuits`.

    Returns:
        The SAE in float32 and the record of the run.

    Raises:
        ValueError: Inputs do not fit together, or training diverges.
    """
    source = MemorySource({site: activations}, {site: held_out}, weights=weights, emphasis=emphasis, seed=config.seed)
    goal = TrainingGoal(str(site), site, config, metadata=metadata or {})
    trained = train(source, [goal], device=activations.device)[goal.name]
    return trained.sae, trained.record


def _check_goals(source: TokenSource, goals: Sequence[TrainingGoal]) -> None:
    names = [goal.name for goal in goals]
    if not goals or len(set(names)) < len(names):
        raise ValueError(f"the dictionaries to train are named {names}, expected at least one and different names")
    pace = {(goal.config.steps, goal.config.batch_tokens, goal.config.log_every) for goal in goals}
    if len(pace) > 1:
        raise ValueError(f"(steps, batch_tokens, log_every) differ: {sorted(pace)}; dictionaries of a run share them")
    for goal in goals:
        if goal.site not in source.sites:
            raise ValueError(f"there are no activations at {goal.site}, only at {', '.join(map(str, source.sites))}")
        if goal.start is not None:
            check_has_thresholds(goal.start)
        start, expected = goal.start, (goal.config.d_sae, source.d_model)
        if start is not None and (start.d_sae, start.d_model) != expected:
            raise ValueError(
                f"the SAE to begin with has d_sae {start.d_sae} and d_model {start.d_model}, "
                f"expected {expected[0]} and {expected[1]}"
            )


def _run(run: TrainingRun, log: MetricsLog, checkpoint_every: int | None, interruption: Interruption) -> float | None:
    """Steps to the end, with metrics and checkpoints on the way; gives the tokens per second."""
    config = next(iter(run.trainers.values())).goal.config
    done = run.steps_done * config.batch_tokens
    start, tokens = time.perf_counter(), 0
    with progress_counter(config.steps * config.batch_tokens, "training", unit="token", done=done) as bar:
        while (step := run.steps_done) < config.steps:
            n_tokens = run.step()
            tokens += n_tokens
            step += 1
            is_last = step == config.steps
            if step % config.log_every == 0 or is_last:
                seconds = time.perf_counter() - start
                for name, trainer in run.trainers.items():
                    log.write(name, trainer.metrics(), seconds=seconds, tokens_per_second=tokens / seconds)
                bar.set_postfix_str(_summary(next(iter(run.trainers.values())).metrics()))
            if is_last or interruption.signal or (checkpoint_every and step % checkpoint_every == 0):
                run.save()
            bar.update(n_tokens)
            if interruption.signal:
                raise interruption.exit()
    return tokens / (time.perf_counter() - start) if tokens else None


def _summary(metrics: StepMetrics) -> str:
    """What the bar shows; of the first dictionary, where there are several."""
    return (
        f"loss {metrics.loss:.3f}, EV {1 - metrics.fvu:.3f}, L0 {metrics.l0:.1f}/{metrics.l0_target:.1f}, "
        f"{metrics.dead_share:.1%} dead, {metrics.dense_share:.1%} dense"
    )


def _calibrated(trainer: SAETrainer, source: TokenSource, rows: slice) -> Calibrated:
    emphasis = source.held_out_emphasis()
    return trainer.calibrated(source.held_out(trainer.goal.site)[rows], None if emphasis is None else emphasis[rows])


def _recorded(
    trainer: SAETrainer, calibrated: Calibrated, metrics: Sequence[StepMetrics], **pace: Any
) -> TrainedDictionary:
    """The dictionary with its record."""
    goal = trainer.goal
    silent = trainer.dead.silent_for(DEAD_WINDOW * trainer.tokens_seen)
    record = TrainingRecord(
        config=goal.config,
        metrics=tuple(metrics),
        n_tokens=trainer.tokens_seen,
        threshold=float(calibrated.sae.threshold.median()),
        calibration=calibrated.calibration,
        dead_share=float(silent.float().mean()),
        **pace,
    )
    ours = dict(goal.metadata.get(RECORD) or {}) | {"training": record.to_json()}
    return TrainedDictionary(calibrated.sae.with_metadata({**goal.metadata, RECORD: ours}), record)
