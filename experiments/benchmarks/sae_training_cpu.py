"""How fast dictionaries train on a processor, and how good they are after the same tokens: ours beside sae-lens's.

Run it as `python -m experiments.benchmarks.sae_training_cpu`. All contestants take the same batches in short turns, so
that whatever else the machine does falls on each of them; README.md says what the columns are.
"""

import argparse
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Protocol, runtime_checkable

import torch

from experiments.benchmarks.peers import SaeLensRecipe, SaeLensStep
from experiments.benchmarks.result_files import RESULTS, machine, write_rows
from experiments.benchmarks.synthetic_activations import sparse_sums
from experiments.clinic.corpus import clinic_corpus
from sae.activations.harvest import harvest
from sae.activations.token_draw import TokenDraw
from sae.dictionary.autoencoder import SAE
from sae.evaluation.fidelity import measure_fidelity
from sae.host.host import HostModel
from sae.host.sites import Site
from sae.progress import progress
from sae.training.calibration import threshold_factor_for_l0
from sae.training.config import JumpReLUConfig
from sae.training.memory_source import MemorySource
from sae.training.normalisation import fold, normalise
from sae.training.plan import Architecture, TrainingPlan
from sae.training.sae_trainer import SAETrainer, TrainingGoal
from sae.training.trainer import trainer_for

__all__ = ["Setting", "compare", "main", "speeds"]

SITE = Site("resid_post", 2)
HELD_OUT_TOKENS = (4096, 4096)
"""To set thresholds on, and to measure on."""
PEER = "sae-lens"


@dataclass(frozen=True)
class Setting:
    """One comparison.

    Attributes:
        name: Of the activations.
        d_model: Their width.
        d_sae: Features of every dictionary.
        l0: Wanted mean number of active features of a token.
        steps: Optimiser steps of every contestant; the second half of them is timed.
        steps_a_turn: Steps that a contestant does before the next has its turn.
        learning_rate: Peak rate: of those that README.md names the best for sae-lens.
        batch_tokens: Tokens of a step.
    """

    name: str
    d_model: int
    d_sae: int
    l0: int
    steps: int
    steps_a_turn: int
    learning_rate: float
    batch_tokens: int = 2048

    @property
    def n_tokens(self) -> int:
        """Tokens that each contestant is trained on."""
        return self.steps * self.batch_tokens

    def activations(self) -> torch.Tensor:
        """Training tokens, then the held-out ones."""
        n_tokens = self.n_tokens + sum(HELD_OUT_TOKENS)
        if self.name == "synthetic":
            return sparse_sums(n_tokens, self.d_model, n_active=self.l0, seed=0)
        texts = islice(clinic_corpus("clinical", seed=0), n_tokens)
        found = harvest(HostModel.load("clinic"), texts, [SITE], n_tokens=n_tokens).activations[SITE].float()
        # a harvest is ordered by length, and held-out tokens must be like the others
        return found[torch.randperm(len(found), generator=torch.Generator().manual_seed(0))]


SETTINGS = (
    Setting("synthetic", 128, 1024, 8, steps=400, steps_a_turn=5, learning_rate=3e-3),
    Setting("clinic resid_post.2", 128, 1024, 8, steps=400, steps_a_turn=5, learning_rate=1e-2),
    Setting("synthetic", 512, 8192, 32, steps=60, steps_a_turn=1, learning_rate=3e-3),
)
QUICK_SETTINGS = (
    Setting("synthetic", 128, 1024, 8, steps=20, steps_a_turn=2, learning_rate=3e-3),
    Setting("synthetic", 512, 8192, 32, steps=4, steps_a_turn=1, learning_rate=3e-3, batch_tokens=256),
)


@runtime_checkable
class Contestant(Protocol):
    """A dictionary in training."""

    def step(self, draw: TokenDraw) -> None:
        """One whole optimiser step, with all its bookkeeping."""

    def l0(self) -> float:
        """Mean number of active features of a token in the last step."""

    def finished(self) -> SAE:
        """The dictionary, its thresholds such that held-out tokens have the wanted L0."""


class _Ours:
    """A trainer as `sae train` makes it."""

    def __init__(self, setting: Setting, source: MemorySource, architecture: Architecture) -> None:
        self.source = source
        self.trainer = _our_trainer(setting, source, architecture)

    def step(self, draw: TokenDraw) -> None:
        self.trainer.step(draw)

    def l0(self) -> float:
        return self.trainer.metrics().l0

    def finished(self) -> SAE:
        return self.trainer.calibrated(self.source.held_out(SITE), None).sae


class _SaeLens:
    """sae-lens's trainer, from the weights, thresholds and window that ours begins with."""

    def __init__(self, setting: Setting, source: MemorySource) -> None:
        self.source, self.setting = source, setting
        ours = _our_trainer(setting, source, "jumprelu")
        assert isinstance(ours.goal.config, JumpReLUConfig)
        recipe = SaeLensRecipe(
            l0=setting.l0,
            batch_tokens=setting.batch_tokens,
            steps=setting.steps,
            learning_rate=setting.learning_rate,
            bandwidth=ours.goal.config.bandwidth,
        )
        self.peer = SaeLensStep(ours.weights, recipe)
        self.last_acts = torch.empty(0, setting.d_sae)

    def step(self, draw: TokenDraw) -> None:
        x = normalise(draw.activations[SITE], self.source.statistics(SITE))
        self.last_acts = self.peer.step(x).feature_acts.detach()

    def l0(self) -> float:
        return float((self.last_acts > 0).sum(1).float().mean())

    def finished(self) -> SAE:
        sae = fold(self.peer.weights(), self.source.statistics(SITE), site=SITE)
        factor = threshold_factor_for_l0(sae, self.source.held_out(SITE), self.setting.l0)
        return sae.with_threshold(sae.threshold * factor)


def _our_trainer(setting: Setting, source: MemorySource, architecture: Architecture) -> SAETrainer:
    """As `sae train` makes it, but at the peer's rate and clipped as the peer's is."""
    plan = TrainingPlan(
        (SITE,),
        (setting.d_sae,),
        (float(setting.l0),),
        setting.n_tokens,
        architecture=architecture,
        batch_tokens=setting.batch_tokens,
        learning_rate=setting.learning_rate,
    )
    planned = plan.config(setting.d_sae, float(setting.l0), d_model=setting.d_model)
    # the peer's L0 falls as slowly
    anneal_share = 0.5 if architecture == "jumprelu" else planned.anneal_share
    config = replace(planned, clipping="global", clip_norm=1.0, anneal_share=anneal_share)
    return trainer_for(TrainingGoal(architecture, SITE, config), source.statistics(SITE), torch.device("cpu"))


def compare(setting: Setting) -> list[dict[str, object]]:
    """Train all contestants on the same batches; one row each."""
    training, calibration, test = setting.activations().split([setting.n_tokens, *HELD_OUT_TOKENS])
    source = MemorySource({SITE: training}, {SITE: calibration}, seed=0)
    contestants: dict[str, Contestant] = {
        "ours, JumpReLU": _Ours(setting, source, "jumprelu"),
        "ours, BatchTopK": _Ours(setting, source, "batchtopk"),
        PEER: _SaeLens(setting, source),
    }
    seconds = _race(list(contestants.values()), source, setting)
    rows = []
    for (name, contestant), own in zip(contestants.items(), seconds, strict=True):
        fidelity = measure_fidelity(contestant.finished(), test)
        assert fidelity.explained_variance is not None, "the activations vary"
        rows.append(
            {
                "activations": setting.name,
                "d_model": setting.d_model,
                "d_sae": setting.d_sae,
                "wanted_l0": setting.l0,
                "implementation": name,
                "tokens": setting.n_tokens,
                **speeds(own, seconds[-1], tokens=setting.batch_tokens * setting.steps_a_turn),
                "training_l0": round(contestant.l0(), 2),
                "held_out_l0": round(fidelity.l0, 2),
                "held_out_fvu": round(1 - fidelity.explained_variance, 4),
                "held_out_dead_share": round(fidelity.dead_share, 4),
            }
        )
    return rows


def speeds(seconds: Sequence[float], peer_seconds: Sequence[float], *, tokens: int) -> dict[str, object]:
    """Median and range of the tokens per second, and how many times as fast as the peer in the same turns.

    Args:
        seconds: Of each turn.
        peer_seconds: Of the peer's turns beside them.
        tokens: Of a turn.
    """
    ratios = [peer / own for own, peer in zip(seconds, peer_seconds, strict=True)]
    return {
        "tokens_per_second": round(tokens / statistics.median(seconds)),
        "tokens_per_second_low": round(tokens / max(seconds)),
        "tokens_per_second_high": round(tokens / min(seconds)),
        "times_sae_lens": round(statistics.median(ratios), 2),
    }


def _race(contestants: Sequence[Contestant], source: MemorySource, setting: Setting) -> list[list[float]]:
    """Seconds of each contestant's turns in the second half of the training."""
    seconds: list[list[float]] = [[] for _ in contestants]
    n_turns = setting.steps // setting.steps_a_turn
    for turn in progress(range(n_turns), f"{setting.name}, d {setting.d_model}", unit="turn"):
        draws = [source.draw(setting.batch_tokens) for _ in range(setting.steps_a_turn)]
        for own, contestant in zip(seconds, contestants, strict=True):
            spent = _turn(contestant, draws)
            if 2 * turn >= n_turns:
                own.append(spent)
    return seconds


def _turn(contestant: Contestant, draws: Sequence[TokenDraw]) -> float:
    start = time.perf_counter()
    for draw in draws:
        contestant.step(draw)
    return time.perf_counter() - start


def main() -> None:
    """Train, write the table, and say it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=RESULTS / "sae_training_cpu.csv", help="Where the table goes.")
    parser.add_argument("--quick", action="store_true", help="A few steps, to see that it runs; numbers mean nothing.")
    arguments = parser.parse_args()
    rows = []
    for setting in QUICK_SETTINGS if arguments.quick else SETTINGS:
        found = compare(setting)
        rows += [{**row, **machine()} for row in found]
        for row in found:
            print(", ".join(f"{name} {value}" for name, value in row.items()), flush=True)
    write_rows(arguments.out, rows)


if __name__ == "__main__":
    main()
