"""Arms compared at equal measured L0: each arm's curve over log L0 is read where the curves of all arms lie.

Resamples draw documents, the same ones for every arm, and seeds of training, for each arm its own: a difference
between arms is one that other documents and other seeds would show too.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor

from experiments.domain_vs_broad.seed_resampling import drawn_measurement, mean_over_drawn_seeds
from sae.evaluation.document_statistics import EvaluationTable
from sae.evaluation.metrics import METRICS, statistic
from sae.measurement import N_DRAWS, Measurement, resampled_counts

__all__ = ["Arms", "matched_grid"]

ABLATIONS = ("zero", "mean")


@dataclass(frozen=True, eq=False)
class Arms:
    """All arms of one host on one evaluation text.

    Attributes:
        tables: Sums of each arm, one table a seed.
        seed: Of the resampling.
    """

    tables: Mapping[str, Sequence[EvaluationTable]]
    seed: int = 0
    _curves: dict[tuple[str, str, str | None], "_Curve"] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if len({table.digest for tables in self.tables.values() for table in tables}) > 1:
            raise ValueError("arms were evaluated on different documents, expected the same ones; evaluate them again")

    @property
    def n_documents(self) -> int:
        """Independent units."""
        return next(iter(self.tables.values()))[0].text.n_documents

    def l0_range(self, arm: str) -> tuple[float, float]:
        """The measured L0s that every seed of an arm covers."""
        of_seeds = self._curve(arm, "l0", None).values[:, 0]
        return float(of_seeds.amin(1).max()), float(of_seeds.amax(1).min())

    def at(self, arm: str, metric: str, l0: float, *, position_class: str | None = None) -> Measurement:
        """A metric of an arm at a measured L0."""
        return self._measurement(metric, self._at(arm, metric, l0, position_class))

    def difference(
        self, arm: str, other: str, metric: str, l0: float, *, position_class: str | None = None
    ) -> Measurement:
        """The same less that of another arm, in pairs of documents."""
        draws = self._at(arm, metric, l0, position_class) - self._at(other, metric, l0, position_class)
        return self._measurement(metric, draws)

    def _measurement(self, metric: str, draws: Float64[Tensor, " draws_plus_1"]) -> Measurement:
        known = METRICS[metric]
        return drawn_measurement(draws, self.n_documents, unit=known.unit, higher_is_better=known.higher_is_better)

    def _at(self, arm: str, metric: str, l0: float, position_class: str | None) -> Float64[Tensor, " draws_plus_1"]:
        """The value on all units first, then those of the draws."""
        values = self._curve(arm, metric, position_class).values
        l0s = self._curve(arm, "l0", None).values
        of_seeds = torch.stack([_interpolated(l0s[s], values[s], l0) for s in range(len(values))])
        return mean_over_drawn_seeds(of_seeds, seed=self.seed + 1 + list(self.tables).index(arm))

    def _curve(self, arm: str, metric: str, position_class: str | None) -> "_Curve":
        key = (arm, metric, position_class)
        if key not in self._curves:
            self._curves[key] = _Curve(self.tables[arm], metric, position_class, self.seed)
        return self._curves[key]


@dataclass(frozen=True, eq=False)
class _Curve:
    """A metric of every dictionary of an arm."""

    tables: Sequence[EvaluationTable]
    metric: str
    position_class: str | None
    seed: int

    @cached_property
    def values(self) -> Float64[Tensor, "seeds draws_plus_1 l0s"]:
        """On all documents first, then on those of each resample."""
        n_documents = self.tables[0].text.n_documents
        everything = torch.ones(1, n_documents, dtype=torch.float64)
        counts = torch.cat([everything, resampled_counts(n_documents, n_draws=N_DRAWS, seed=self.seed)])
        return torch.stack([self._of_table(table, counts) for table in self.tables])

    def _of_table(self, table: EvaluationTable, counts: Float64[Tensor, "draws documents"]) -> Tensor:
        names = [name for name in table.dictionaries if name not in ABLATIONS]
        metric = METRICS[self.metric]
        return torch.stack(
            [statistic(metric, table, name, position_class=self.position_class)(counts) for name in names], dim=1
        )


def matched_grid(arms: Arms, names: Sequence[str], n_points: int) -> list[float]:
    """L0s, evenly spaced on the log scale, that the curves of all these arms cover; none where they do not meet."""
    ranges = [arms.l0_range(name) for name in names]
    low, high = max(low for low, _ in ranges), min(high for _, high in ranges)
    return [float(l0) for l0 in np.geomspace(low, high, n_points)] if low <= high else []


def _interpolated(
    l0s: Float64[Tensor, "draws l0s"], values: Float64[Tensor, "draws l0s"], wanted: float
) -> Float64[Tensor, " draws"]:
    """Each draw's curve over log L0 at one place; flat beyond its ends, which a draw may have a little inside."""
    order = l0s.argsort(1)
    xs, ys = l0s.gather(1, order).log().numpy(), values.gather(1, order).numpy()
    return torch.tensor([np.interp(np.log(wanted), x, y) for x, y in zip(xs, ys, strict=True)], dtype=torch.float64)
