"""From a prompt to its circuit, stage by stage; see ARCHITECTURE.md for the way of the data."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from circuits.effects.edge_effects import ERROR, NodeTable, score_edges
from circuits.effects.node_effects import NodeEffects, SiteEffects, score_nodes, site_residuals
from circuits.evaluation.selection import Ranking, Selection, select_nodes
from circuits.graph.circuit import Circuit, Edge, Faithfulness, MetricValues, Node
from circuits.prompts.behaviour import Behaviour, describe_behaviour
from circuits.prompts.references import read_references
from circuits.runs.baselines import Baseline, contrast_baseline, mean_baseline, resample_baseline, zero_baseline
from circuits.runs.runs import Runs, node_positions
from circuits.settings import DiscoverySettings
from circuits.workbench import Workbench, open_workbench
from sae.command_line import Stopwatch, versions
from sae.dictionary.autoencoder import SAE
from sae.host.host import HostModel
from sae.host.sites import Site

__all__ = ["discover"]

EDGE_SHARE = 0.01
"""Edges below this share of the metric's gap are left out by default."""

N_MEAN_REFERENCES = 512
"""Reference prompts whose mean is the mean baseline."""


def discover(
    prompt: str,
    *,
    model: str | Path | HostModel = "clinic",
    saes: str | Path | Mapping[Site, SAE] | None = None,
    sites: str | None = None,
    contrast: str | None = None,
    reference: str | Path | None = None,
    target: str | None = None,
    foil: str | None = None,
    chat: bool = False,
    device: str = "auto",
    dtype: str = "float32",
    workbench: Workbench | None = None,
    **options: Any,
) -> Circuit:
    """Find the features that carry a model's answer to a prompt.

    Args:
        prompt: The text whose next token is to be explained.
        model: A loaded host, a bundled name, a directory or a hub id.
        saes: SAEs by site, a directory of them, or a sae-lens release; those bundled with the model by default.
        sites: Comma list with globs; by default every `resid_post` that has an SAE.
        contrast: A prompt of equal token length that changes the answer.
        reference: File of prompts for the resample and mean baselines, one a line.
        target: The answer to explain; the model's own by default.
        foil: The answer that it is compared with.
        chat: Whether to apply the tokenizer's chat template.
        device: Where the model runs.
        dtype: Its precision.
        workbench: A model with its dictionaries, to serve several prompts; `model`, `saes` and `sites` are then unused.
        **options: The fields of `DiscoverySettings`.

    Returns:
        The circuit: nodes with their effects, edges, faithfulness beside its null, and where it all comes from.

    Raises:
        ValueError: If an input cannot be used; the message says what was expected.

    Example:
        ```python
        from circuits import discover
        circuit = discover("The young woman presents with ... Diagnosis:")
        circuit.save("runs/first")
        ```
    """
    settings = DiscoverySettings(**options)
    watch = Stopwatch()
    with watch.stage("load"):
        bench = workbench or open_workbench(
            model, saes=saes, sites=sites, basis=settings.basis, device=device, dtype=dtype
        )
    with watch.stage("runs"):
        behaviour = describe_behaviour(bench.host, prompt, contrast=contrast, target=target, foil=foil, chat=chat)
        baseline = _make_baseline(bench, behaviour, settings, reference, chat)
        runs = Runs.record(bench.host, behaviour, bench.dictionaries, baseline)
    with watch.stage("nodes"):
        effects = score_nodes(runs, settings.method, ig_steps=settings.ig_steps)
        residuals = site_residuals(runs, effects)
    with watch.stage("selection"):
        ranking = Ranking.by_effect(effects)
        if len(ranking) == 0:
            raise ValueError(
                "no feature differs between the prompt and its baseline; choose a contrast or references that differ"
            )
        selection = select_nodes(
            runs,
            ranking,
            wanted_faithfulness=settings.wanted_faithfulness,
            top_k=settings.top_k,
            node_threshold=settings.node_threshold,
            seed=settings.seed,
        )
        tables = _node_tables(runs, effects, ranking, selection.n_nodes)
    with watch.stage("edges"):
        edges = [] if settings.nodes_only else _edges(runs, effects, tables, settings, selection)
    inputs = {"contrast": contrast, "reference": None if reference is None else str(reference), "chat": chat}
    return Circuit(
        prompt=prompt,
        tokens=behaviour.tokens,
        target=behaviour.target.text,
        foil=behaviour.foil.text,
        method=settings.method,
        baseline=baseline.kind,
        metric=MetricValues(runs.clean_metric, selection.baseline_metric, behaviour.unit),
        nodes=_nodes(bench, runs, effects, tables),
        edges=edges,
        faithfulness=_faithfulness(selection),
        site_residuals=residuals,
        provenance=_provenance(bench, settings, inputs, selection, watch),
        token_ids=behaviour.prompt_ids.tolist(),
    )


def _make_baseline(
    bench: Workbench,
    behaviour: Behaviour,
    settings: DiscoverySettings,
    reference: str | Path | None,
    chat: bool,
) -> Baseline:
    kind = settings.baseline or ("contrast" if behaviour.contrast_ids is not None else "resample")
    positions = node_positions(bench.host, behaviour)
    if not positions.any():
        raise ValueError(f"prompt {behaviour.prompt!r} has no token besides BOS, expected some text")
    if kind == "zero":
        return zero_baseline(bench.dictionaries, positions)
    if kind == "contrast":
        if behaviour.contrast_ids is None:
            raise ValueError("baseline is 'contrast' but no contrast was given; add --contrast TEXT")
        return contrast_baseline(bench.host, bench.dictionaries, behaviour.contrast_ids, positions)
    pool = bench.bundled_references if reference is None else read_references(bench.host, Path(reference))
    if kind == "mean":
        prompts = _as_turns(bench.host, pool.sample(N_MEAN_REFERENCES, seed=settings.seed), chat)
        return mean_baseline(bench.host, bench.dictionaries, prompts, positions)
    nearest = pool.nearest(bench.host.tokenise(behaviour.prompt), seed=settings.seed)
    return resample_baseline(bench.host, bench.dictionaries, _as_turns(bench.host, nearest, chat), positions)


def _as_turns(host: HostModel, prompts: Sequence[Int[Tensor, " _"]], chat: bool) -> Sequence[Int[Tensor, " _"]]:
    """The prompts in the chat template, if it is wanted."""
    if not chat:
        return prompts
    return [host.tokenise(host.tokenizer.decode(ids, skip_special_tokens=True), chat=True) for ids in prompts]


def _node_tables(runs: Runs, effects: NodeEffects, ranking: Ranking, n_nodes: int) -> dict[Site, NodeTable]:
    """The kept features of each site, and the errors that are at least as strong as the weakest of them."""
    kept = ranking.top(n_nodes)
    weakest = ranking.effect[n_nodes - 1].abs() if n_nodes else torch.tensor(float("inf"))
    tables = {}
    for site in runs.sites:
        position, feature_id = kept.nodes.get(site, (torch.empty(0, dtype=torch.long),) * 2)
        strong = (effects[site].error_effect.abs() >= weakest).nonzero()[:, 0].to(position)
        table = NodeTable(torch.cat([position, strong]), torch.cat([feature_id, torch.full_like(strong, ERROR)]))
        if len(table.position):
            tables[site] = table
    return tables


def _edges(
    runs: Runs,
    effects: NodeEffects,
    tables: dict[Site, NodeTable],
    settings: DiscoverySettings,
    selection: Selection,
) -> list[Edge]:
    threshold = settings.edge_threshold
    if threshold is None:
        threshold = EDGE_SHARE * abs(runs.clean_metric - selection.baseline_metric)
    name = _name_of
    return [
        Edge(name(e.source), name(e.target), e.effect) for e in score_edges(runs, effects, tables, threshold=threshold)
    ]


def _name_of(node: tuple[Site, int, int]) -> str:
    site, position, feature_id = node
    return f"{site}/{'error' if feature_id == ERROR else feature_id}@{position}"


def _nodes(bench: Workbench, runs: Runs, effects: NodeEffects, tables: dict[Site, NodeTable]) -> list[Node]:
    """All nodes, strongest first."""
    nodes = []
    for site, table in tables.items():
        scored, labels = effects[site], bench.labels[site]
        ranks = {
            key: rank for rank, key in enumerate(zip(scored.position.tolist(), scored.feature_id.tolist(), strict=True))
        }
        for position, feature_id in zip(table.position.tolist(), table.feature_id.tolist(), strict=True):
            if feature_id == ERROR:
                nodes.append(_error_node(runs, site, position, scored))
                continue
            rank, label = ranks[position, feature_id], labels.get(feature_id)
            nodes.append(
                Node(
                    site,
                    position,
                    feature_id,
                    runs.behaviour.tokens[position],
                    scored.activation[rank].item(),
                    scored.baseline_activation[rank].item(),
                    scored.indirect_effect[rank].item(),
                    None if label is None else label.text,
                    None if label is None else label.f1,
                )
            )
    return sorted(nodes, key=lambda node: -abs(node.indirect_effect))


def _error_node(runs: Runs, site: Site, position: int, scored: SiteEffects) -> Node:
    base = [runs.baseline_error(site, r)[position].norm() for r in range(runs.baseline.n_references)]
    return Node(
        site,
        position,
        None,
        runs.behaviour.tokens[position],
        runs.clean_error(site)[position].norm().item(),
        torch.stack(base).mean().item(),
        scored.error_effect[position].item(),
    )


def _faithfulness(selection: Selection) -> Faithfulness:
    return Faithfulness(
        selection.value,
        selection.low,
        selection.high,
        selection.n_nodes,
        selection.null,
        selection.share_kept_without_errors,
    )


def _provenance(
    bench: Workbench,
    settings: DiscoverySettings,
    inputs: Mapping[str, Any],
    selection: Selection,
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
            **inputs,
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
    }
