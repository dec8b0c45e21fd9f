"""Accuracies by group of cue and diagnosis, with intervals over templates and seeds.

The worst group's accuracy is taken of each pair of diagnoses, all seeds together, and averaged over pairs. A resample
draws templates and, independently, seeds; a case counts as often as both were drawn (Owen 2007, Annals of Applied
Statistics 1(2), the pigeonhole bootstrap).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float64, Int64
from torch import Tensor
from torch.nn.functional import one_hot

from experiments.domain_vs_broad.seed_resampling import drawn_measurement
from sae.measurement import Measurement, resampled_counts

__all__ = ["GroupScores"]

MIN_GAP = 0.01
"""A draw with a smaller gap has no share of it that is closed."""
SEEDS_SEED = 1
"""Of the draws of seeds; another than that of templates, which are drawn independently."""
Draws = Float64[Tensor, " draws_plus_1"]
"""The value itself, then that of each resample."""


@dataclass(frozen=True, eq=False)
class GroupScores:
    """Right and wrong answers of every condition to the same cases.

    Attributes:
        pairs: Names of the pairs of diagnoses.
        right: By condition, 1 or 0.
        pair: Of each case.
        group: Of each case: diagnosis and cue, 0 to 3.
        template: Of each case.
        seed: Of each case.
    """

    pairs: tuple[str, ...]
    right: Mapping[str, Float64[Tensor, " cases"]]
    pair: Int64[Tensor, " cases"]
    group: Int64[Tensor, " cases"]
    template: Int64[Tensor, " cases"]
    seed: Int64[Tensor, " cases"]

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> "GroupScores":
        """From the record of the analysis."""
        units = record["units"]
        pairs = tuple(dict.fromkeys(units["pair"]))
        group = [2 * diagnosis + cue for diagnosis, cue in zip(units["diagnosis"], units["cue"], strict=True)]
        right = {name: torch.tensor(values, dtype=torch.float64) for name, values in record["right"].items()}
        return cls(
            pairs, right, _codes(units["pair"]), torch.tensor(group), _codes(units["template"]), _codes(units["seed"])
        )

    def worst(self, name: str, pair: str | None = None) -> Measurement:
        """Accuracy of the worst group, mean over pairs or of one."""
        return self._measured(self._worst(name, pair))

    def accuracy(self, name: str) -> Measurement:
        """Accuracy over all cases."""
        return self._measured((self._weights @ self.right[name]) / self._weights.sum(1))

    def gap(self) -> Measurement:
        """How far the probe's worst group is below the oracle's."""
        return self.difference("oracle", "probe")

    def difference(self, name: str, other: str) -> Measurement:
        """How much better one condition's worst group is than another's, on the same cases."""
        return self._measured(self._worst(name) - self._worst(other))

    def closed(self, name: str) -> Measurement:
        """Share of the gap to the oracle which a condition closes; above 1 where it does better than the oracle."""
        probe = self._worst("probe")
        gap = self._worst("oracle") - probe
        return self._measured((self._worst(name) - probe) / torch.where(gap >= MIN_GAP, gap, torch.nan))

    def rights(self, pair: str, name: str) -> list[bool]:
        """Whether a condition is right about each case of a pair."""
        here = self.pair == self.pairs.index(pair)
        return [bool(value) for value in self.right[name][here].tolist()]

    def _measured(self, draws: Draws) -> Measurement:
        return drawn_measurement(draws, int(self.template.max()) + 1, higher_is_better=True)

    def _worst(self, name: str, pair: str | None = None) -> Draws:
        of_pairs = self._worst_groups[name]
        return of_pairs.mean(1) if pair is None else of_pairs[:, self.pairs.index(pair)]

    @cached_property
    def _weights(self) -> Float64[Tensor, "draws_plus_1 cases"]:
        """How often each case counts: once, and then as often as each resample has its template and its seed."""
        n_templates, n_seeds = (int(codes.max()) + 1 for codes in (self.template, self.seed))
        templates = resampled_counts(n_templates)[:, self.template]
        seeds = resampled_counts(n_seeds, seed=SEEDS_SEED)[:, self.seed]
        return torch.cat([torch.ones(1, len(self.pair), dtype=torch.float64), templates * seeds])

    @cached_property
    def _cells(self) -> Float64[Tensor, "cases pairs_groups"]:
        """1 in the column of each case's pair and group."""
        return one_hot(4 * self.pair + self.group, 4 * len(self.pairs)).double()

    @cached_property
    def _worst_groups(self) -> Mapping[str, Float64[Tensor, "draws_plus_1 pairs"]]:
        """Of every condition the accuracy of each pair's worst group; all in one product, since there are many."""
        right = torch.stack(list(self.right.values()), dim=1)
        of_cells = (self._cells[:, :, None] * right[:, None, :]).flatten(1)
        n_right = (self._weights @ of_cells).unflatten(1, (-1, len(self.right)))
        accuracies = n_right / (self._weights @ self._cells)[..., None]
        worst = accuracies.unflatten(1, (len(self.pairs), 4)).amin(2)
        return {name: worst[..., index] for index, name in enumerate(self.right)}


def _codes(values: list[Any]) -> Int64[Tensor, " cases"]:
    """Values numbered in the order of their first occurrence."""
    numbers = {value: index for index, value in enumerate(dict.fromkeys(values))}
    return torch.tensor([numbers[value] for value in values])
