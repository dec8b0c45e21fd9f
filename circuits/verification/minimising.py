"""From a circuit to the smallest one of its behaviour that reaches a wanted faithfulness."""

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from circuits.assembly import EDGE_SHARE, assemble, node_tables
from circuits.effects.edge_effects import ERROR, ScoredEdge
from circuits.effects.ensemble_effects import EnsembleEffects, ensemble_edges
from circuits.evaluation.orders import reordered
from circuits.evaluation.selection import Ranking, Selection, select_nodes
from circuits.graph.circuit import Circuit
from circuits.reopening import OpenCircuit, node_set, reopen
from circuits.settings import DEFAULT_FAITHFULNESS, DiscoverySettings
from circuits.verification.fewest_edges import edge_metrics, fewest_edges
from circuits.verification.fewest_nodes import fewest_nodes
from circuits.verification.requirement import Requirement
from circuits.verification.starting_nodes import starting_nodes
from circuits.verification.verifying import rescored
from circuits.workbench import Workbench
from sae.command_line import Stopwatch
from sae.host.host import HostModel

__all__ = ["minimise"]

KEPT_FACTS = ("pairs", "contrast_search", "points_by_site")
"""Of the circuit's record: what also holds of a smaller circuit."""


def minimise(
    circuit: Circuit | Path | str,
    *,
    faithfulness: float = DEFAULT_FAITHFULNESS,
    nodes_only: bool = False,
    seed: int = 0,
    workbench: Workbench | None = None,
    model: str | Path | HostModel | None = None,
    device: str | None = None,
) -> Circuit:
    """Find the fewest features, and edges among them, that keep more than a share of the behaviour.

    It starts from the circuit where that keeps enough, or from the strongest nodes of its ranking that do if these are
    fewer (see `circuits/verification/starting_nodes.py`), and drops nodes until no single one can go; then edges, the
    weakest first. Both are held to the lower end of the 95 % interval over prompts or references, or to the value
    itself where there is a single one.

    Args:
        circuit: As `circuits discover` wrote it, or where.
        faithfulness: What the circuit must keep more than, at least 0 and below 1.
        nodes_only: Skip the edges; they are skipped too where the circuit was found without.
        seed: Of the bootstrap and of the random null.
        workbench: The model with its dictionaries, if it is loaded already.
        model: The model, where it is not where the circuit says.
        device: Where it runs; by default where it did.

    Returns:
        The smaller circuit; `provenance["minimised"]` says where it started and by what it was judged. Nodes and edges
        that the circuit had are as they were, with what was measured of them.

    Raises:
        ValueError: The circuit cannot be reopened, its model and baseline answer alike, or nothing that is tried keeps
            as much.
    """
    if not 0 <= faithfulness < 1:
        raise ValueError(f"faithfulness is {faithfulness}, expected a share of at least 0 and below 1")
    loaded = circuit if isinstance(circuit, Circuit) else Circuit.load(circuit)
    watch = Stopwatch()
    with watch.stage("load"):
        opened = reopen(loaded, workbench=workbench, model=model, device=device)
    with watch.stage("nodes"):
        effects = rescored(loaded, opened.ensemble)
    ranking = Ranking.by_effect(effects.at_places)
    with watch.stage("elimination"):
        requirement = Requirement.of(opened.ensemble, faithfulness, seed=seed)
        start = starting_nodes(requirement, ranking, node_set(loaded))
        chosen = reordered(ranking, fewest_nodes(requirement, ranking, start))
    settings = _settings(loaded)
    edges: list[ScoredEdge] = []
    facts: dict[str, Any] = {"from_circuit": len(loaded.features), "from_nodes": len(start), "nodes": len(chosen)}
    if not (nodes_only or settings.nodes_only):
        with watch.stage("edges"):
            edges, counted = _edges(requirement, effects, chosen, settings)
            facts |= counted
    facts |= {"wanted": faithfulness, "judged_by": "interval" if requirement.is_interval else "value"}
    with watch.stage("selection"):
        selection = _measured(opened, ranking, chosen, seed)
    return _assembled(opened, settings, effects, selection, chosen, edges, facts, watch)


def _settings(circuit: Circuit) -> DiscoverySettings:
    """How the circuit was looked for."""
    config = circuit.provenance["config"]
    known = {field.name: config[field.name] for field in fields(DiscoverySettings) if field.name in config}
    return replace(DiscoverySettings(**known), seed=circuit.provenance["seed"])


def _edges(
    requirement: Requirement, effects: EnsembleEffects, chosen: Ranking, settings: DiscoverySettings
) -> tuple[list[ScoredEdge], dict[str, Any]]:
    """The edges that are needed, and strong ones of errors; where no number of them is enough, all."""
    ensemble, nodes = requirement.ensemble, chosen.top(len(chosen))
    tables = node_tables(ensemble, effects, chosen, len(chosen))
    scored = ensemble_edges(ensemble, effects, tables, exact=settings.exact_edges)
    of_errors = [edge for edge in scored if ERROR in (edge.source[2], edge.target[2])]
    among = [edge for edge in scored if ERROR not in (edge.source[2], edge.target[2])]
    found = fewest_edges(requirement, nodes, among)
    kept = among if found is None else found
    weakest = EDGE_SHARE * abs(requirement.scale.gap)
    strong = [*kept, *(edge for edge in of_errors if abs(edge.effect) > weakest)]
    return sorted(strong, key=lambda edge: -abs(edge.effect)), {
        "from_edges": len(among),
        "edges": len(kept),
        "edges_keep_enough": found is not None,
        "kept_with_edges": requirement.of_metrics(edge_metrics(ensemble, nodes, kept)[None]).item(),
    }


def _measured(opened: OpenCircuit, ranking: Ranking, chosen: Ranking, seed: int) -> Selection:
    """What the chosen nodes keep, measured anew; the null is of random nodes among all that differ."""
    selection = select_nodes(opened.ensemble, chosen, top_k=len(chosen), seed=seed)
    null = select_nodes(opened.ensemble, ranking, top_k=len(chosen), seed=seed).null
    return replace(selection, null=null, curve={})


def _assembled(
    opened: OpenCircuit,
    settings: DiscoverySettings,
    effects: EnsembleEffects,
    selection: Selection,
    chosen: Ranking,
    edges: Sequence[ScoredEdge],
    facts: Mapping[str, Any],
    watch: Stopwatch,
) -> Circuit:
    before, tables = opened.circuit, node_tables(opened.ensemble, effects, chosen, len(chosen))
    kept_facts = {name: before.provenance[name] for name in KEPT_FACTS if name in before.provenance}
    record = {**kept_facts, "command": "circuits minimise", "minimised": dict(facts)}
    arguments = (opened.bench, opened.question, settings, opened.ensemble, effects, selection, tables, edges)
    found = assemble(*arguments, record, watch)
    nodes = {node.id: node for node in before.nodes}
    known_edges = {(edge.source, edge.target): edge for edge in before.edges}
    return replace(
        found,
        nodes=[nodes.get(node.id, node) for node in found.nodes],
        edges=[known_edges.get((edge.source, edge.target), edge) for edge in found.edges],
    )
