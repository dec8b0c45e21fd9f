"""What an evaluation found, as it is written to `evaluation.json`."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from circuits.evaluation.curves import Curves
from circuits.graph.circuit import Circuit
from sae.command_line import SCHEMA_VERSION, versions

__all__ = ["Evaluation"]


@dataclass(frozen=True)
class Evaluation:
    """Everything that `circuits evaluate` measures of a circuit.

    Attributes:
        circuit: What was evaluated.
        curves: Faithfulness, completeness, CPR and CMD.
        nulls: For each null its faithfulness at the circuit's size, and the percentile of the circuit.
        edges: CPR and CMD of the edges among its features; None where there is none, or they were not run.
        config: How it was evaluated.
        seconds: By stage.
    """

    circuit: Circuit
    curves: Curves
    nulls: Mapping[str, Mapping[str, Any]]
    edges: Mapping[str, Any] | None
    config: Mapping[str, Any]
    seconds: Mapping[str, float]

    def to_json(self) -> dict[str, Any]:
        """What `circuits evaluate --json` prints."""
        circuit, curves, scale = self.circuit, self.curves, self.curves.scale
        return {
            "schema_version": SCHEMA_VERSION,
            "command": "circuits evaluate",
            "config": dict(self.config),
            "seed": scale.seed,
            "versions": versions(),
            **{key: circuit.provenance.get(key) for key in ("model", "saes")},
            "prompt": circuit.prompt,
            "target": circuit.target,
            "foil": circuit.foil,
            "method": circuit.method,
            "baseline": circuit.baseline,
            "metric": {
                "clean": scale.clean.mean().item(),
                "baseline": scale.empty.mean().item(),
                "gap": scale.gap,
                "unit": circuit.metric.unit,
            },
            "spread": scale.spread(),
            "n_nodes": curves.circuit.n_nodes,
            "circuit_metric": curves.circuit.metric,
            "n_differing": curves.n_differing,
            "faithfulness": curves.circuit.faithfulness.to_json(),
            "completeness": curves.circuit.completeness.to_json(),
            "share_kept_without_errors": curves.share_kept_without_errors.to_json(),
            **curves.to_json(),
            "edges": self.edges,
            "nulls": {name: dict(record) for name, record in self.nulls.items()},
            "seconds": dict(self.seconds),
        }
