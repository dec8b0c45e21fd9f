"""A run: one token source, the dictionaries that learn from it, and the directory it can be resumed from."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sae.activations.token_draw import TokenDraw
from sae.training.checkpoints import Checkpoint, check_same_configuration
from sae.training.sae_trainer import SAETrainer
from sae.training.token_source import TokenSource

__all__ = ["CHECKPOINT", "METRICS", "TrainingRun"]

logger = logging.getLogger(__name__)

CHECKPOINT = "checkpoint.safetensors"
METRICS = "metrics.jsonl"
SOURCE = "source"


@dataclass(frozen=True, eq=False)
class TrainingRun:
    """What is trained, on what, and where its state is kept.

    Attributes:
        source: Where tokens come from.
        trainers: The dictionaries, by name.
        directory: For checkpoint and metrics; None keeps the run in memory.
    """

    source: TokenSource
    trainers: Mapping[str, SAETrainer]
    directory: Path | None

    @property
    def steps_done(self) -> int:
        """Steps so far; all dictionaries are at the same."""
        return next(iter(self.trainers.values())).steps_done

    @property
    def metrics_path(self) -> Path | None:
        """Where metrics are written."""
        return None if self.directory is None else self.directory / METRICS

    def resume(self) -> None:
        """Go on from the checkpoint in the directory; without one, stay at the beginning and say so.

        Raises:
            ValueError: The checkpoint is damaged or of another configuration or other tokens.
        """
        self._make_directory()
        checkpoint = None if self.directory is None else Checkpoint.load(self.directory / CHECKPOINT)
        if checkpoint is None:
            logger.warning("nothing to resume in %s, training begins afresh", self.directory)
            return
        check_same_configuration(checkpoint.configuration, self._configuration(), source=str(self.directory))
        self.source.load_state_dict(checkpoint.components[SOURCE])  # type: ignore[arg-type]
        for name, trainer in self.trainers.items():
            trainer.load_state_dict(checkpoint.components[name])
        logger.info("resumed %s at step %d", self.directory, checkpoint.step)

    def check_directory(self) -> None:
        """Make the directory, and make sure that no earlier run would be lost.

        Raises:
            ValueError: It holds a checkpoint.
        """
        self._make_directory()
        if self.directory is not None and (self.directory / CHECKPOINT).exists():
            raise ValueError(f"{self.directory} holds a checkpoint already; resume it or train into another directory")

    def discard_unless_saved(self) -> None:
        """Leave nothing behind of a run that has failed before its first checkpoint."""
        if self.directory is None or (self.directory / CHECKPOINT).exists():
            return
        (self.directory / METRICS).unlink(missing_ok=True)
        if not any(self.directory.iterdir()):
            self.directory.rmdir()

    def step(self) -> int:
        """One draw, one optimiser step for each dictionary; gives the number of tokens.

        Raises:
            ValueError: There are no more tokens, or activations are not finite.
        """
        steps_done = self.steps_done
        config = next(iter(self.trainers.values())).goal.config
        draw = self.source.draw(config.batch_tokens)
        _check(draw, steps_done + 1, config.steps)
        for trainer in self.trainers.values():
            trainer.step(draw)
        return draw.n_tokens

    def save(self) -> None:
        """Write the checkpoint, unless training has diverged: then the one before is worth more.

        Raises:
            ValueError: It has diverged, or the file cannot be written.
        """
        if self.directory is None:
            return
        for trainer in self.trainers.values():
            trainer.metrics()
        components = {name: trainer.state_dict() for name, trainer in self.trainers.items()}
        checkpoint = Checkpoint(
            self.steps_done, self._configuration(), {SOURCE: self.source.state_dict(), **components}
        )
        checkpoint.save(self.directory / CHECKPOINT)

    def _make_directory(self) -> None:
        """Make it, and clear away what a killed process was writing."""
        if self.directory is None:
            return
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            reason = error.strerror or error
            raise ValueError(f"output {str(self.directory)!r} is not writable ({reason}); give another path") from error
        for part in self.directory.glob(f".{Path(CHECKPOINT).stem}.part-*"):
            part.unlink()

    def _configuration(self) -> dict[str, dict[str, Any]]:
        return {name: trainer.goal.to_json() for name, trainer in self.trainers.items()}


def _check(draw: TokenDraw, step: int, steps: int) -> None:
    if draw.n_tokens == 0:
        raise ValueError(
            f"there were no more tokens at step {step} of {steps}; give more text or train on fewer tokens"
        )
    for site, x in draw.activations.items():
        # one number to look at: what is not finite stays so in a sum
        if not bool(x.sum().isfinite()):
            raise ValueError(
                f"activations at {site} are not finite at step {step}; leave the tokens out that overflow, or harvest "
                "in bfloat16 or float32"
            )
