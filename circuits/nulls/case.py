"""What every null starts from, and what it gives."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from circuits.effects.ensemble_effects import EnsembleEffects, gathered_effects
from circuits.effects.node_effects import score_nodes
from circuits.evaluation.scale import Scale
from circuits.evaluation.selection import Ranking
from circuits.reopening import OpenCircuit
from circuits.runs.ensemble import Ensemble
from circuits.runs.node_set import NodeSet

__all__ = ["NullCase", "NullResult"]

SAME = 1e-5
"""Shares that are closer are equal: batches of different sizes round differently."""


@dataclass(frozen=True, eq=False)
class NullCase:
    """A circuit that was reopened and scored again.

    Attributes:
        opened: The circuit with its runs.
        effects: Of all nodes.
        ranking: Of all features that differ.
        nodes: The features of the circuit.
        scale: Where circuits are measured.
        method: Rule for node effects.
        method_options: Of that rule.
        seed: Of the draws.
    """

    opened: OpenCircuit
    effects: EnsembleEffects
    ranking: Ranking
    nodes: NodeSet
    scale: Scale
    method: str
    method_options: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0

    def rank_again(self, ensemble: Ensemble) -> Ranking:
        """The features of other runs, scored by the circuit's rule."""
        per_run = [score_nodes(runs, self.method, **self.method_options) for runs in ensemble.runs]
        return Ranking.by_effect(gathered_effects(ensemble, per_run))


@dataclass(frozen=True)
class NullResult:
    """Faithfulness of the draws of one null, at the circuit's size."""

    values: tuple[float, ...] = ()
    reason: str | None = None
    """Why there are no values, or fewer than draws."""

    def to_json(self, found: float | None) -> dict[str, Any]:
        """The draws beside the circuit that was found.

        Args:
            found: Its faithfulness.
        """
        percentile = None if found is None or not self.values else _percentile(found, self.values)
        return {
            "faithfulness": {
                "mean": sum(self.values) / len(self.values) if self.values else None,
                "low": min(self.values, default=None),
                "high": max(self.values, default=None),
            },
            "percentile": percentile,
            "n_draws": len(self.values),
            "reason": self.reason,
        }


def _percentile(found: float, draws: Sequence[float]) -> float:
    """Share of draws below the circuit in per cent, those equal to it counted half."""
    below = sum(value < found - SAME for value in draws)
    equal = sum(abs(value - found) <= SAME for value in draws)
    return 100 * (below + equal / 2) / len(draws)
