"""A circuit's estimated effects beside measured ones."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from circuits.effects.ensemble_effects import EnsembleEffects, score_ensemble
from circuits.graph.circuit import Circuit, strongest
from circuits.reopening import reopen
from circuits.runs.ensemble import Ensemble
from circuits.settings import recorded_rule
from circuits.verification.agreement import Agreement, agreement
from circuits.verification.measured_edges import measure_edges
from circuits.verification.measured_nodes import measure_nodes
from circuits.workbench import Workbench
from sae.command_line import SCHEMA_VERSION, Stopwatch, versions
from sae.host.host import HostModel

__all__ = ["Verification", "rescored", "verify"]

DEFAULT_TOP = 50


@dataclass(frozen=True)
class Verification:
    """A circuit whose strongest nodes and edges carry measured effects, and how well the estimates agree with them."""

    circuit: Circuit
    nodes: Agreement
    edges: Agreement | None
    """None where the circuit has no edges."""
    config: Mapping[str, Any]
    seed: int
    """Of the bootstrap and of the nulls."""
    seconds: Mapping[str, float]

    def to_json(self) -> dict[str, Any]:
        """What `circuits verify --json` prints: the agreement, and every measured node and edge."""
        circuit = self.circuit
        nodes = [node.to_json() for node in circuit.nodes if node.exact_effect is not None]
        edges = [edge.to_json() for edge in circuit.edges if edge.exact_effect is not None]
        names = ("id", "indirect_effect", "exact_effect")
        return {
            "schema_version": SCHEMA_VERSION,
            "command": "circuits verify",
            "config": dict(self.config),
            "seed": self.seed,
            "versions": versions(),
            **{key: circuit.provenance.get(key) for key in ("model", "saes")},
            "agreement": {"nodes": asdict(self.nodes), "edges": None if self.edges is None else asdict(self.edges)},
            "nodes": [{name: node[name] for name in names} for node in nodes],
            "edges": [{name: edge[name] for name in ("source", "target", "effect", "exact_effect")} for edge in edges],
            "seconds": dict(self.seconds),
        }


def verify(
    circuit: Circuit | Path | str,
    *,
    top: int = DEFAULT_TOP,
    seed: int = 0,
    workbench: Workbench | None = None,
    model: str | Path | HostModel | None = None,
    device: str | None = None,
) -> Verification:
    """Measure the strongest nodes and edges of a circuit, each by itself, and compare with what was estimated.

    Args:
        circuit: As `circuits discover` wrote it, or where.
        top: How many nodes, and how many edges, by estimated |effect|.
        seed: Of the bootstrap over nodes and edges, and of the shuffled nulls.
        workbench: The model with its dictionaries, if it is loaded already.
        model: The model, where it is not where the circuit says.
        device: Where it runs; by default where it did.

    Raises:
        ValueError: `top` is below 1, the circuit has no nodes, or it cannot be reopened.
    """
    if top < 1:
        raise ValueError(f"top is {top}, expected at least 1")
    loaded = circuit if isinstance(circuit, Circuit) else Circuit.load(circuit)
    if not loaded.nodes:
        raise ValueError("the circuit has no nodes, expected at least one to measure; discover again with --top-k")
    watch = Stopwatch()
    with watch.stage("load"):
        ensemble = reopen(loaded, workbench=workbench, model=model, device=device).ensemble
    with watch.stage("nodes"):
        verified, nodes = _with_nodes(loaded, ensemble, top, seed)
    with watch.stage("edges"):
        verified, edges = _with_edges(verified, ensemble, top, seed)
    return Verification(verified, nodes, edges, {"top": top}, seed, dict(watch.seconds))


def _with_nodes(circuit: Circuit, ensemble: Ensemble, top: int, seed: int) -> tuple[Circuit, Agreement]:
    """The circuit with its strongest nodes measured."""
    chosen = strongest(circuit.nodes)[:top]
    measured = measure_nodes(ensemble, chosen)
    by_id = dict(zip([node.id for node in chosen], measured.tolist(), strict=True))
    nodes = [replace(node, exact_effect=by_id.get(node.id, node.exact_effect)) for node in circuit.nodes]
    predicted = torch.tensor([node.indirect_effect for node in chosen])
    return replace(circuit, nodes=nodes), agreement(predicted, measured, seed=seed)


def rescored(circuit: Circuit, ensemble: Ensemble) -> EnsembleEffects:
    """The effects of all nodes, estimated as they were when the circuit was found."""
    rule, options = recorded_rule(circuit.method, circuit.provenance["config"])
    return score_ensemble(ensemble, rule, **options)


def _with_edges(circuit: Circuit, ensemble: Ensemble, top: int, seed: int) -> tuple[Circuit, Agreement | None]:
    """The circuit with its strongest edges measured."""
    if not circuit.edges:
        return circuit, None
    chosen = sorted(circuit.edges, key=lambda edge: -abs(edge.effect))[:top]
    measured = measure_edges(ensemble, rescored(circuit, ensemble), chosen)
    by_ends = {(edge.source, edge.target): value for edge, value in zip(chosen, measured.tolist(), strict=True)}
    edges = [
        replace(edge, exact_effect=by_ends.get((edge.source, edge.target), edge.exact_effect)) for edge in circuit.edges
    ]
    predicted = torch.tensor([edge.effect for edge in chosen])
    return replace(circuit, edges=edges), agreement(predicted, measured, seed=seed)
