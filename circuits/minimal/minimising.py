"""From a circuit to the smallest one of its behaviour that reaches a wanted faithfulness."""

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from circuits.assembly import assemble, node_tables
from circuits.effects.edge_effects import ERROR, ScoredEdge
from circuits.effects.ensemble_effects import EnsembleEffects, ensemble_edges, score_ensemble
from circuits.evaluation.orders import ranks_of
from circuits.evaluation.selection import Ranking, select_nodes
from circuits.graph.circuit import Circuit
from circuits.minimal.fewest_edges import fewest_edges
from circuits.minimal.fewest_nodes import fewest_nodes, smallest_enough
from circuits.minimal.requirement import Requirement
from circuits.reopening import OpenCircuit, node_set, reopen
from circuits.settings import DiscoverySettings
from circuits.workbench import Workbench
from sae.command_line import Stopwatch
from sae.host.host import HostModel

__all__ = ["minimise"]

EDGE_SHARE = 0.01
"""Edges of errors below this share of the metric's gap are left out, as in a discovery."""
KEPT_FACTS = ("pairs", "contrast_search", "points_by_site")


def minimise(
    circuit: Circuit | Path | str,
    *,
    faithfulness: float = 0.8,
    nodes_only: bool = False,
    seed: int = 0,
    workbench: Workbench | None = None,
    model: str | Path | HostModel | None = None,
    device: str | None = None,
) -> Circuit:
    """Find the fewest features, and edges among them, that keep a share of the behaviour.

    It starts from the circuit where that keeps enough, or from the strongest nodes of its ranking that do if these are
    fewer, and drops nodes until none can go. Nodes are held to the lower end of the 95 % interval over prompts or
    references, or to the value itself where there is a single one.

    Args:
        circuit: As `circuits discover` wrote it, or where.
        faithfulness: What the circuit must keep more than, at least 0 and below 1.
        nodes_only: Skip the edges.
        seed: Of the bootstrap and of the random null.
        workbench: The model with its dictionaries, if it is loaded already.
        model: The model, where it is not where the circuit says.
        device: Where it runs; by default where it did.

    Returns:
        The smaller circuit; `provenance["minimised"]` says where it started and by what it was judged.

    Raises:
        ValueError: The circuit cannot be reopened, its model and baseline answer alike, or no number of features keeps
            as much.
    """
    if not 0 <= faithfulness < 1:
        raise ValueError(f"faithfulness is {faithfulness}, expected a share of at least 0 and below 1")
    loaded = circuit if isinstance(circuit, Circuit) else Circuit.load(circuit)
    watch = Stopwatch()
    with watch.stage("load"):
        opened = reopen(loaded, workbench=workbench, model=model, device=device)
    settings = replace(_settings(loaded), seed=loaded.provenance["seed"])
    with watch.stage("nodes"):
        effects = score_ensemble(opened.ensemble, **settings.effect_options)
    ranking = Ranking.by_effect(effects.at_places)
    with watch.stage("elimination"):
        requirement = Requirement.of(opened.ensemble, faithfulness, seed=seed)
        start = _start(requirement, ranking, loaded)
        chosen = _part(ranking, fewest_nodes(requirement, ranking, start))
    edges: list[ScoredEdge] = []
    facts: dict[str, Any] = {"from_circuit": len(loaded.features), "from_nodes": len(start), "nodes": len(chosen)}
    if not nodes_only:
        with watch.stage("edges"):
            edges, counted = _edges(requirement, effects, chosen)
            facts |= counted
    facts |= {"wanted": faithfulness, "judged_by": "interval" if requirement.is_interval else "value"}
    return _assembled(opened, settings, effects, ranking, chosen, edges, facts, seed, watch)


def _settings(circuit: Circuit) -> DiscoverySettings:
    names = {field.name for field in fields(DiscoverySettings)}
    return DiscoverySettings(**{key: value for key, value in circuit.provenance["config"].items() if key in names})


def _start(requirement: Requirement, ranking: Ranking, circuit: Circuit) -> Int[Tensor, " nodes"]:
    """The circuit where it keeps enough, or the strongest nodes that do if these are fewer."""

    def is_enough(n: int) -> bool:
        return requirement.of_nodes([ranking.top(n)]).item() > requirement.wanted

    own = node_set(circuit)
    reaches = requirement.of_nodes([own]).item() > requirement.wanted
    n_ranked = smallest_enough(is_enough, len(ranking))
    if reaches and (n_ranked is None or len(own) <= n_ranked):
        return ranks_of(ranking, own)
    if n_ranked is None:
        most = requirement.of_nodes([ranking.top(len(ranking))]).item()
        raise ValueError(
            f"faithfulness {requirement.wanted} is out of reach: all {len(ranking)} features that differ keep "
            f"{most:.3f} and the circuit does not keep more; ask for less"
        )
    return torch.arange(n_ranked)


def _part(ranking: Ranking, ranks: Int[Tensor, " kept"]) -> Ranking:
    """The ranking of some of its nodes."""
    columns = (ranking.site_index, ranking.position, ranking.feature_id, ranking.effect)
    return Ranking(ranking.sites, *(column[ranks.to(column.device)] for column in columns))


def _edges(
    requirement: Requirement, effects: EnsembleEffects, chosen: Ranking
) -> tuple[list[ScoredEdge], dict[str, Any]]:
    """The edges that are needed, and those of errors; where all together are not enough, all."""
    tables = node_tables(requirement.ensemble, effects, chosen, len(chosen))
    scored = ensemble_edges(requirement.ensemble, effects, tables)
    of_errors = [edge for edge in scored if ERROR in (edge.source[2], edge.target[2])]
    among = [edge for edge in scored if ERROR not in (edge.source[2], edge.target[2])]
    found = fewest_edges(requirement, chosen.top(len(chosen)), among)
    weakest = EDGE_SHARE * abs(requirement.scale.gap)
    kept = [*(among if found is None else found), *(edge for edge in of_errors if abs(edge.effect) > weakest)]
    return sorted(kept, key=lambda edge: -abs(edge.effect)), {
        "from_edges": len(among),
        "edges": len(among) if found is None else len(found),
        "edges_keep_enough": found is not None,
    }


def _assembled(
    opened: OpenCircuit,
    settings: DiscoverySettings,
    effects: EnsembleEffects,
    ranking: Ranking,
    chosen: Ranking,
    edges: list[ScoredEdge],
    facts: dict[str, Any],
    seed: int,
    watch: Stopwatch,
) -> Circuit:
    """The circuit, its faithfulness measured anew; its null is of random nodes among all that differ."""
    ensemble, before = opened.ensemble, opened.circuit.provenance
    with watch.stage("selection"):
        selection = select_nodes(ensemble, chosen, top_k=len(chosen), seed=seed)
        null = select_nodes(ensemble, ranking, top_k=len(chosen), seed=seed).null
    selection = replace(selection, null=null, curve={})
    kept_facts = {name: before[name] for name in KEPT_FACTS if name in before}
    tables = node_tables(ensemble, effects, chosen, len(chosen))
    found = assemble(
        opened.bench, opened.question, settings, ensemble, effects, selection, tables, edges, kept_facts, watch
    )
    provenance = {**found.provenance, "command": "circuits minimise", "minimised": facts}
    return replace(found, provenance=provenance)
