"""Effects over several aligned prompts: summed over the positions of a place, averaged over the prompts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from circuits.effects.edge_effects import NodeTable, ScoredEdge, score_edges
from circuits.effects.node_effects import NodeEffects, SiteEffects, score_nodes, site_residuals
from circuits.effects.stage_cache import StageCache
from circuits.runs.ensemble import Ensemble
from circuits.runs.node_set import NodeSet
from sae.host.sites import Site
from sae.progress import progress

__all__ = ["EnsembleEffects", "PlaceEffects", "ensemble_edges", "gathered_effects", "score_ensemble"]


@dataclass(frozen=True)
class PlaceEffects:
    """Effects of the nodes of one site, at the places of an ensemble. A node that a prompt lacks counts 0 there."""

    position: Int[Tensor, " nodes"]
    """The place."""
    feature_id: Int[Tensor, " nodes"]
    activation: Float[Tensor, " nodes"]
    """Summed over the positions of the place, as all that follows; mean over the prompts."""
    baseline_activation: Float[Tensor, " nodes"]
    indirect_effect: Float[Tensor, " nodes"]
    error_effect: Float[Tensor, " places"]
    """Of the error at each place."""


@dataclass(frozen=True)
class EnsembleEffects:
    """Effects of every prompt, and of all together."""

    per_run: tuple[NodeEffects, ...]
    at_places: Mapping[Site, PlaceEffects]
    residuals: Mapping[Site, float]
    """For each site how far the effects are from adding up to the exact effect of the site, mean over the prompts."""

    @property
    def points(self) -> dict[Site, int]:
        """For each site the most gradients that a prompt's effects there are the mean of."""
        return {site: max(effects[site].n_points for effects in self.per_run) for site in self.at_places}


def score_ensemble(
    ensemble: Ensemble, method: str = "integrated_gradients", *, cache: StageCache | None = None, **options: Any
) -> EnsembleEffects:
    """Score the nodes of each prompt by `score_nodes`, and gather them by place.

    Args:
        ensemble: Aligned prompts.
        method: Of `score_nodes`.
        cache: Where effects of an interrupted run are found, and those of this one kept.
        options: Of `score_nodes`.
    """
    per_run, residuals = [], []
    for runs in progress(ensemble.runs, "scoring prompts"):
        score = partial(score_nodes, runs, method, **options)
        effects = score() if cache is None else cache.effects(runs, score, method=method, **options)
        per_run.append(effects)
        residuals.append(site_residuals(runs, effects))
    mean_residuals = {site: sum(found[site] for found in residuals) / len(residuals) for site in ensemble.sites}
    return EnsembleEffects(tuple(per_run), gathered_effects(ensemble, per_run), mean_residuals)


def gathered_effects(ensemble: Ensemble, per_run: Sequence[NodeEffects]) -> dict[Site, PlaceEffects]:
    """The effects of each prompt, gathered by place."""
    return {site: _gathered(ensemble, [effects[site] for effects in per_run]) for site in ensemble.sites}


def ensemble_edges(
    ensemble: Ensemble, effects: EnsembleEffects, nodes: Mapping[Site, NodeTable], **options: Any
) -> list[ScoredEdge]:
    """Edges among nodes at places: each sums over the positions of both its places, averaged over the prompts.

    Args:
        ensemble: Aligned prompts.
        effects: Of its nodes.
        nodes: Features and errors, at places.
        options: Of `score_edges`; `threshold` applies to the edges of all prompts together, a negative one keeps all.
    """
    if ensemble.is_lone:
        return score_edges(ensemble.first, effects.per_run[0], dict(nodes), **options)
    threshold = options.pop("threshold", 0.0)
    found: dict[tuple[tuple[Site, int, int], tuple[Site, int, int]], list[ScoredEdge]] = {}
    for index, runs in enumerate(progress(ensemble.runs, "scoring edges")):
        place_of = ensemble.places.of_position[index].tolist()
        tables = _tables_of(ensemble, index, nodes)
        for edge in score_edges(runs, effects.per_run[index], tables, threshold=min(threshold, 0.0), **options):
            (source_site, source, source_id), (site, target, target_id) = edge.source, edge.target
            key = (source_site, place_of[source], source_id), (site, place_of[target], target_id)
            found.setdefault(key, []).append(edge)
    summed = [_joined(source, target, parts, len(ensemble.runs)) for (source, target), parts in found.items()]
    kept = [edge for edge in summed if abs(edge.effect) > threshold]
    return sorted(kept, key=lambda edge: -abs(edge.effect))


def _joined(
    source: tuple[Site, int, int], target: tuple[Site, int, int], parts: Sequence[ScoredEdge], n_prompts: int
) -> ScoredEdge:
    """The edge between two places, from those between their positions in all prompts."""

    def mean(name: str) -> float | None:
        values = [getattr(part, name) for part in parts]
        return None if None in values else sum(values) / n_prompts

    effect = sum(part.effect for part in parts) / n_prompts
    return ScoredEdge(source, target, effect, mean("exact_effect"), mean("value_effect"), mean("query_key_effect"))


def _tables_of(ensemble: Ensemble, index: int, nodes: Mapping[Site, NodeTable]) -> dict[Site, NodeTable]:
    """Nodes at places, as nodes at the positions of one prompt."""
    tables = {}
    at_nodes = ensemble.runs[index].at_nodes
    for site, table in nodes.items():
        position, feature_id = ensemble.of_run(index, NodeSet({site: (table.position, table.feature_id)})).nodes[site]
        real = at_nodes[position]
        if real.any():
            tables[site] = NodeTable(position[real], feature_id[real])
    return tables


def _gathered(ensemble: Ensemble, scored: Sequence[SiteEffects]) -> PlaceEffects:
    """One site's effects at places."""
    n_places, n_prompts = len(ensemble.places.names), len(scored)
    places = [place.to(effects.position) for place, effects in zip(ensemble.places.of_position, scored, strict=True)]
    place = torch.cat([of_position[effects.position] for of_position, effects in zip(places, scored, strict=True)])
    feature_id = torch.cat([effects.feature_id for effects in scored])
    d_sae = int(feature_id.max()) + 1 if len(feature_id) else 1
    key, slot = (place * d_sae + feature_id).unique(return_inverse=True)

    def mean(name: str) -> Float[Tensor, " nodes"]:
        values = torch.cat([getattr(effects, name) for effects in scored])
        return values.new_zeros(len(key)).index_add(0, slot, values) / n_prompts

    error = scored[0].error_effect.new_zeros(n_places)
    for of_position, effects in zip(places, scored, strict=True):
        error = error.index_add(0, of_position, effects.error_effect)
    return PlaceEffects(
        key // d_sae,
        key % d_sae,
        mean("activation"),
        mean("baseline_activation"),
        mean("indirect_effect"),
        error / n_prompts,
    )
