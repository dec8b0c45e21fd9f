"""How alike the nodes are that several runs kept, and how often each node was kept."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

import numpy as np

from circuits.variation.case import Repeats
from circuits.variation.kept_nodes import Kept
from circuits.variation.overlap import jaccard, random_jaccard, random_rank_biased_overlap, rank_biased_overlap

__all__ = ["Overlap", "Spread", "VariationResult", "summarise"]

MOST_PAIRS = 1000
"""Pairs of runs that are compared; of more, as many random ones."""

FEWEST_FOR_AN_INTERVAL = 40
"""Runs below which the middle 95 % would be all of them."""


@dataclass(frozen=True)
class Spread:
    """A mean over runs and how far they lie apart.

    Attributes:
        mean: Over the runs, or over pairs of them.
        low: Lower end of their middle 95 %, or the least where runs are few; None for a single value.
        high: Upper end.
    """

    mean: float
    low: float | None
    high: float | None

    @classmethod
    def of(cls, values: Sequence[float], n_runs: int) -> "Spread | None":
        """Of overlaps, from so many runs; None where there are no values."""
        if not values:
            return None
        if len(values) == 1:
            return cls(values[0], None, None)
        ends = (0.025, 0.975) if n_runs >= FEWEST_FOR_AN_INTERVAL else (0.0, 1.0)
        low, high = np.quantile(values, ends)
        return cls(float(np.mean(values)), float(low), float(high))


@dataclass(frozen=True)
class Overlap:
    """One measure of likeness, 0 to 1.

    Attributes:
        with_circuit: Of each run and the circuit.
        between_runs: Of two runs; None for a single run.
        null: Expected of two random sets, or rankings, of the circuit's size among the nodes that differ.
    """

    with_circuit: Spread
    between_runs: Spread | None
    null: float


@dataclass(frozen=True)
class VariationResult:
    """What became of one variation; without runs there is a reason."""

    n_runs: int
    settings: tuple[str, ...] = ()
    features_kept: float | None = None
    """Mean frequency of the circuit's features."""
    jaccard: Overlap | None = None
    rank_biased_overlap: Overlap | None = None
    frequency: dict[str, float] | None = None
    """Share of the runs that kept a node, of those that any kept."""
    reason: str | None = None

    @property
    def spread(self) -> str | None:
        """What lies between `low` and `high`."""
        if self.n_runs < 2:
            return None
        return "middle 95 % of runs" if self.n_runs >= FEWEST_FOR_AN_INTERVAL else "range of runs"

    def to_json(self) -> dict[str, Any]:
        """The overlaps; frequencies stand with the nodes."""
        record = asdict(self)
        del record["frequency"]
        return {**record, "settings": list(self.settings), "spread": self.spread}


def summarise(circuit: Kept, repeats: Repeats, n_differing: int) -> VariationResult:
    """Overlaps and frequencies of what was kept.

    Args:
        circuit: The circuit's own features, strongest first; at least one.
        repeats: What other runs kept.
        n_differing: Nodes that there were to choose from.
    """
    if not repeats.kept:
        return VariationResult(0, reason=repeats.reason)
    measures = ((jaccard, random_jaccard), (rank_biased_overlap, random_rank_biased_overlap))
    sets, rankings = (
        _overlap(measure, circuit, repeats.kept, null(len(circuit), n_differing)) for measure, null in measures
    )
    n_runs = len(repeats.kept)
    counts = Counter(node for kept in repeats.kept for node in kept)
    frequency = {node: count / n_runs for node, count in counts.most_common()}
    features_kept = sum(frequency.get(node, 0.0) for node in circuit) / len(circuit)
    return VariationResult(n_runs, repeats.settings, features_kept, sets, rankings, frequency)


def _overlap(measure: Callable[..., float], circuit: Kept, runs: Sequence[Kept], null: float) -> Overlap:
    with_circuit = Spread.of([measure(kept, circuit) for kept in runs], len(runs))
    assert with_circuit is not None
    between = Spread.of([measure(runs[a], runs[b]) for a, b in _pairs(len(runs))], len(runs))
    return Overlap(with_circuit, between, null)


def _pairs(n_runs: int) -> list[tuple[int, int]]:
    """All pairs of runs, or where these are many some of them at random."""
    if n_runs * (n_runs - 1) // 2 <= MOST_PAIRS:
        return list(combinations(range(n_runs), 2))
    dice = np.random.default_rng(0)
    drawn = (dice.choice(n_runs, 2, replace=False).tolist() for _ in range(MOST_PAIRS))
    return [(a, b) for a, b in drawn]
