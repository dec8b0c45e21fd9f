"""The cells of the comparison, each a training run of one arm with one seed at every wanted L0."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from experiments.domain_vs_broad.arms import ARMS, Arm
from experiments.domain_vs_broad.profiles import Profile

__all__ = ["Cell", "cells_of", "plan_text"]

DICTIONARY_TOKENS_PER_SECOND = 60_000.0
"""Tokens times dictionaries, with a d_model of 128 and 1024 features."""


@dataclass(frozen=True)
class Cell:
    """One training run.

    Attributes:
        host: Name of the host.
        arm: What is trained.
        seed: Of weights and draws.
    """

    host: str
    arm: Arm
    seed: int

    @property
    def directory(self) -> Path:
        """Where it lies below the cells of its profile."""
        return Path(self.host) / self.arm.name.replace(",", "").replace(" ", "-") / f"seed-{self.seed}"


def cells_of(profile: Profile) -> list[Cell]:
    """All cells, in each host those of the first seed first: fewer seeds are a comparison too."""
    return [Cell(host, ARMS[arm], seed) for seed in profile.seeds for host, _ in profile.hosts for arm in profile.arms]


def plan_text(profile: Profile, cells: Sequence[Cell], missing: Sequence[Cell]) -> str:
    """What there is to do and what it costs, in a few lines; of a profile that gives its host's shape without the
    time, which `cost_plan` knows better.
    """
    tokens = sum(cell.arm.tokens for cell in missing) * profile.n_tokens * len(profile.l0)
    minutes = tokens / DICTIONARY_TOKENS_PER_SECOND / 60
    rate = f"{minutes:.0f} minutes at the {DICTIONARY_TOKENS_PER_SECOND:,.0f} a second of profile clinic on two cores"
    return "\n".join(
        (
            f"{len(cells)} cells: {len(profile.hosts)} hosts x {len(profile.arms)} arms x {len(profile.seeds)} seeds, "
            f"each {len(profile.l0)} dictionaries of {profile.d_sae} features at {profile.site}",
            f"{len(cells) - len(missing)} done, {len(missing)} to do: {tokens:,.0f} dictionary tokens of training"
            + (f", {rate}" if profile.shape is None else ""),
            f"evaluation on {profile.evaluated:,} held-out tokens of each text",
        )
    )
