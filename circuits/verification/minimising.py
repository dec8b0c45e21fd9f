"""From a circuit to the smallest one that keeps as much as wanted."""

from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from circuits.assembly import assemble, kept_edges, node_tables
from circuits.effects.ensemble_effects import EnsembleEffects
from circuits.evaluation.kept_share import bootstrap_interval, faithfulness
from circuits.evaluation.masked_runs import ALL_FEATURES, ensemble_metrics
from circuits.evaluation.selection import N_NULL_DRAWS, Ranking, Selection
from circuits.graph.circuit import Circuit
from circuits.reopening import OpenCircuit, reopen
from circuits.runs.ensemble import Ensemble
from circuits.settings import DEFAULT_FAITHFULNESS, DiscoverySettings
from circuits.verification.minimal_set import SetMeter, eliminate, smallest_by_rank
from circuits.verification.verifying import rescored
from circuits.workbench import Workbench
from sae.command_line import Stopwatch
from sae.host.host import HostModel

__all__ = ["minimise"]


def minimise(
    circuit: Circuit | Path | str,
    *,
    wanted: float = DEFAULT_FAITHFULNESS,
    seed: int = 0,
    workbench: Workbench | None = None,
    model: str | Path | HostModel | None = None,
    device: str | None = None,
) -> Circuit:
    """Find the smallest circuit of the same behaviour whose faithfulness is surely at least `wanted`.

    Nodes are taken from all that differ from their baseline, not from the circuit alone. Its entry `minimised` says how
    many nodes there were by rank, and whether an interval's lower end or, with a single unit, a value was bounded.

    Args:
        circuit: As `circuits discover` wrote it, or where.
        wanted: Share of the behaviour, 0 to 1.
        seed: Of the bootstrap and of the null.
        workbench: The model with its dictionaries, if it is loaded already.
        model: The model, where it is not where the circuit says.
        device: Where it runs; by default where it did.

    Raises:
        ValueError: `wanted` is outside 0 to 1 or out of reach, or the circuit cannot be reopened.
    """
    if not 0 < wanted <= 1:
        raise ValueError(f"faithfulness is {wanted}, expected above 0 and at most 1")
    loaded = circuit if isinstance(circuit, Circuit) else Circuit.load(circuit)
    watch = Stopwatch()
    with watch.stage("load"):
        opened = reopen(loaded, workbench=workbench, model=model, device=device)
    with watch.stage("nodes"):
        effects = rescored(loaded, opened.ensemble)
    ranking = Ranking.by_effect(effects.at_places)
    meter = SetMeter(opened.ensemble, ranking, seed)
    with watch.stage("by rank"):
        n_by_rank = smallest_by_rank(meter, wanted)
    with watch.stage("elimination"):
        ranks = eliminate(meter, torch.arange(n_by_rank), wanted)
        selection = _measured(opened.ensemble, ranking, ranks, seed)
    record = {
        "faithfulness": wanted,
        "bound": "value" if selection.low is None else "lower end of the 95 % interval",
        "n_by_rank": n_by_rank,
        "n_nodes": len(ranks),
    }
    return _assembled(opened, effects, _only(ranking, ranks), selection, record, watch)


def _measured(ensemble: Ensemble, ranking: Ranking, ranks: Int[Tensor, " chosen"], seed: int) -> Selection:
    """The chosen set measured anew, beside its null."""
    random = [ranking.random(len(ranks), seed + draw) for draw in range(N_NULL_DRAWS)]
    sets = [ranking.chosen(ranks[:0]), ALL_FEATURES, ranking.chosen(ranks), *random]
    metrics, clean = ensemble_metrics(ensemble, sets), ensemble.clean_metrics
    shares = faithfulness(metrics, metrics[0], clean)
    low, high = bootstrap_interval(metrics[2], metrics[0], clean, groups=ensemble.groups, seed=seed)
    value, null = shares[2].item(), shares[3:].mean().item()
    curve = {len(ranks): value}
    return Selection(len(ranks), value, low, high, null, shares[1].item(), metrics[0].mean().item(), curve)


def _only(ranking: Ranking, ranks: Int[Tensor, " chosen"]) -> Ranking:
    """The ranking of the chosen nodes alone."""
    names = ("site_index", "position", "feature_id", "effect")
    return replace(ranking, **{name: getattr(ranking, name)[ranks] for name in names})


def _assembled(
    opened: OpenCircuit,
    effects: EnsembleEffects,
    ranking: Ranking,
    selection: Selection,
    record: Mapping[str, Any],
    watch: Stopwatch,
) -> Circuit:
    settings = _settings(opened.circuit)
    tables = node_tables(opened.ensemble, effects, ranking, len(ranking))
    with watch.stage("edges"):
        edges = kept_edges(opened.ensemble, effects, tables, settings, selection)
    facts = {"command": "circuits minimise", "minimised": dict(record)}
    arguments = (opened.bench, opened.question, settings, opened.ensemble, effects, selection, tables, edges)
    return assemble(*arguments, facts, watch)


def _settings(circuit: Circuit) -> DiscoverySettings:
    """How the circuit was looked for; edges only where it had some."""
    config = circuit.provenance["config"]
    known = {field.name: config[field.name] for field in fields(DiscoverySettings) if field.name in config}
    return DiscoverySettings(**known)
