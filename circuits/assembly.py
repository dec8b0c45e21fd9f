"""The last stage of a discovery: what was measured becomes a `Circuit`."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from circuits.effects.edge_effects import ERROR, NodeTable, ScoredEdge
from circuits.effects.ensemble_effects import EnsembleEffects, PlaceEffects, ensemble_edges
from circuits.evaluation.selection import Ranking, Selection
from circuits.graph.circuit import Circuit, Edge, Faithfulness, MetricValues, Node
from circuits.question import Question
from circuits.runs.ensemble import Ensemble
from circuits.runs.runs import Runs
from circuits.settings import DiscoverySettings
from circuits.workbench import Workbench
from sae.command_line import Stopwatch, versions
from sae.dictionary.autoencoder import SAE
from sae.host.sites import Site

__all__ = ["assemble", "kept_edges", "node_tables"]

EDGE_SHARE = 0.01
"""Edges below this share of the metric's gap are left out by default."""

MOST_NAMED_ANSWERS = 3


def node_tables(ensemble: Ensemble, effects: EnsembleEffects, ranking: Ranking, n_nodes: int) -> dict[Site, NodeTable]:
    """The kept features of each site, and the errors that are at least as strong as the weakest of them."""
    kept = ranking.top(n_nodes)
    weakest = ranking.effect[:n_nodes].abs().min() if n_nodes else torch.tensor(float("inf"))
    tables = {}
    for site in ensemble.sites:
        position, feature_id = kept.nodes.get(site, (torch.empty(0, dtype=torch.long),) * 2)
        strong = (effects.at_places[site].error_effect.abs() >= weakest).nonzero()[:, 0].to(position)
        table = NodeTable(torch.cat([position, strong]), torch.cat([feature_id, torch.full_like(strong, ERROR)]))
        if len(table.position):
            tables[site] = table
    return tables


def kept_edges(
    ensemble: Ensemble,
    effects: EnsembleEffects,
    tables: Mapping[Site, NodeTable],
    settings: DiscoverySettings,
    selection: Selection,
) -> list[ScoredEdge]:
    """The edges among the kept nodes that the settings ask for: none, or those above their threshold."""
    if settings.nodes_only:
        return []
    threshold = settings.edge_threshold
    if threshold is None:
        threshold = EDGE_SHARE * abs(ensemble.clean_metric - selection.baseline_metric)
    return ensemble_edges(ensemble, effects, tables, threshold=threshold, exact=settings.exact_edges)


def assemble(
    bench: Workbench,
    question: Question,
    settings: DiscoverySettings,
    ensemble: Ensemble,
    effects: EnsembleEffects,
    selection: Selection,
    tables: Mapping[Site, NodeTable],
    edges: Sequence[ScoredEdge],
    facts: Mapping[str, Any],
    watch: Stopwatch,
) -> Circuit:
    """The circuit with all that it is to remember.

    Args:
        bench: Model, dictionaries and labels.
        question: What was asked.
        settings: How it was looked for.
        ensemble: The runs.
        effects: Of all nodes.
        selection: How many of them are kept, and what they keep.
        tables: Those that are kept, and errors.
        edges: Among them.
        facts: What the runs add to the record.
        watch: Time of the stages so far.
    """
    behaviour = ensemble.first.behaviour
    names = ensemble.places.names
    return Circuit(
        prompt=behaviour.prompt if ensemble.is_lone else "".join(names),
        tokens=names,
        target=_joint([runs.behaviour.target.text for runs in ensemble.runs]),
        foil=_joint([runs.behaviour.foil.text for runs in ensemble.runs]),
        method=settings.method,
        baseline=ensemble.first.baseline.kind,
        metric=MetricValues(ensemble.clean_metric, selection.baseline_metric, behaviour.unit),
        nodes=_nodes(bench, ensemble, effects, tables),
        edges=[_edge(edge) for edge in edges],
        faithfulness=_faithfulness(selection),
        site_residuals=effects.residuals,
        provenance=_provenance(bench, question, settings, selection, facts, watch),
        token_ids=behaviour.prompt_ids.tolist() if ensemble.is_lone else None,
    )


def _joint(answers: Sequence[str]) -> str:
    distinct = list(dict.fromkeys(answers))
    return " |".join(distinct[:MOST_NAMED_ANSWERS]) + (" | …" if len(distinct) > MOST_NAMED_ANSWERS else "")


def _edge(scored: ScoredEdge) -> Edge:
    return Edge(
        _name_of(scored.source),
        _name_of(scored.target),
        scored.effect,
        scored.exact_effect,
        scored.value_effect,
        scored.query_key_effect,
    )


def _name_of(node: tuple[Site, int, int]) -> str:
    site, position, feature_id = node
    return f"{site}/{'error' if feature_id == ERROR else feature_id}@{position}"


def _nodes(
    bench: Workbench, ensemble: Ensemble, effects: EnsembleEffects, tables: Mapping[Site, NodeTable]
) -> list[Node]:
    """All nodes, strongest first."""
    nodes = []
    for site, table in tables.items():
        scored, labels = effects.at_places[site], bench.labels[site]
        keys = zip(scored.position.tolist(), scored.feature_id.tolist(), strict=True)
        ranks = {key: rank for rank, key in enumerate(keys)}
        for place, feature_id in zip(table.position.tolist(), table.feature_id.tolist(), strict=True):
            if feature_id == ERROR:
                nodes.append(_error_node(ensemble, site, place, scored))
                continue
            rank, label = ranks[place, feature_id], labels.get(feature_id)
            nodes.append(
                Node(
                    site,
                    place,
                    feature_id,
                    ensemble.places.names[place],
                    scored.activation[rank].item(),
                    scored.baseline_activation[rank].item(),
                    scored.indirect_effect[rank].item(),
                    None if label is None else label.text,
                    None if label is None else label.f1,
                )
            )
    return sorted(nodes, key=lambda node: -abs(node.indirect_effect))


def _error_node(ensemble: Ensemble, site: Site, place: int, scored: PlaceEffects) -> Node:
    """Norms are of the first position of the place, averaged over the prompts."""
    norms = []
    for index, runs in enumerate(ensemble.runs):
        positions = (ensemble.places.of_position[index] == place).nonzero()[:, 0].tolist()
        norms += [_error_norms(runs, site, position) for position in positions]
    clean, base = torch.stack(norms).mean(dim=0).tolist()
    return Node(site, place, None, ensemble.places.names[place], clean, base, scored.error_effect[place].item())


def _error_norms(runs: Runs, site: Site, position: int) -> torch.Tensor:
    """Norm of the error in the clean run, and its mean over the references."""
    base = [runs.baseline_error(site, r)[position].norm() for r in range(runs.baseline.n_references)]
    return torch.stack([runs.clean_error(site)[position].norm(), torch.stack(base).mean()])


def _faithfulness(selection: Selection) -> Faithfulness:
    return Faithfulness(
        selection.value,
        selection.low,
        selection.high,
        selection.n_nodes,
        selection.null,
        selection.share_kept_without_errors,
        selection.reason,
    )


def _provenance(
    bench: Workbench,
    question: Question,
    settings: DiscoverySettings,
    selection: Selection,
    facts: Mapping[str, Any],
    watch: Stopwatch,
) -> dict[str, Any]:
    saes = [
        {"site": str(site), "path": None if sae.path is None else str(sae.path), "sha256": sae.content_hash}
        for site, sae in bench.dictionaries.items()
        if isinstance(sae, SAE)
    ]
    host = bench.host
    return {
        "command": "circuits discover",
        "config": {
            **settings.to_json(),
            **question.to_json(),
            "sites": [str(site) for site in bench.dictionaries],
            "dtype": str(host.dtype).removeprefix("torch."),
            "device": str(host.device),
            "faithfulness_by_size": {str(n): value for n, value in selection.curve.items()},
        },
        "seed": settings.seed,
        "versions": versions(),
        "model": {"name": host.name, "path": str(host.path)},
        "saes": saes,
        "seconds": dict(watch.seconds),
        **facts,
    }
