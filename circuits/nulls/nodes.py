"""Nulls of other features: as many as the circuit has, drawn at random from those that differ.

`random_features` draws from all of them. `matched_features` draws for each feature of the circuit another that is
active about as often and changes about as much between the clean and the baseline run: what is left is which one it is.
Nothing is scored again.
"""

from collections.abc import Mapping

import torch
from jaxtyping import Float, Int
from torch import Tensor

from circuits.evaluation.masked_runs import ensemble_metrics
from circuits.evaluation.orders import complement
from circuits.nulls.case import NullCase, NullResult
from circuits.prompts.references import ReferencePool, read_references
from circuits.runs.node_set import NodeSet
from sae.bundle import find_bundle
from sae.host.sites import Site

__all__ = ["matched_draw", "matched_features", "random_features"]

N_DENSITY_PROMPTS = 32
DECILES = 10


def random_features(case: NullCase, n_draws: int) -> NullResult:
    """Random features among those that differ."""
    return _measured(case, [case.ranking.random(len(case.nodes), case.seed + draw) for draw in range(n_draws)])


def matched_features(case: NullCase, n_draws: int) -> NullResult:
    """Random features of the circuit's densities and changes, none of them its own."""
    outside = complement(case.ranking, case.nodes)
    if len(outside) < len(case.nodes):
        return NullResult(reason=f"only {len(outside)} features differ beside the circuit's {len(case.nodes)}")
    strata = _strata(case)
    is_own = _is_own(case)
    draws = []
    for draw in range(n_draws):
        generator = torch.Generator().manual_seed(case.seed + draw)
        draws.append(case.ranking.chosen(matched_draw(strata, is_own, generator).to(case.ranking.effect.device)))
    return _measured(case, draws)


def matched_draw(
    strata: Int[Tensor, "nodes properties"], own: Int[Tensor, " own"], generator: torch.Generator
) -> Int[Tensor, " own"]:
    """For each of some nodes another that is like it, each used once; ties are settled at random.

    Args:
        strata: Of every node the deciles of its properties.
        own: The nodes to match; at most half of all.
        generator: Of the ties.
    """
    distance = (strata[own][:, None] - strata[None]).abs().sum(dim=-1).float()
    distance += 0.5 * torch.rand(distance.shape, generator=generator)
    distance[:, own] = torch.inf
    chosen = torch.empty_like(own)
    for row in torch.randperm(len(own), generator=generator):
        chosen[row] = distance[row].argmin()
        distance[:, chosen[row]] = torch.inf
    return chosen


def _measured(case: NullCase, draws: list[NodeSet]) -> NullResult:
    metrics = ensemble_metrics(case.opened.ensemble, draws)
    return NullResult(tuple(case.scale.shares(metrics).tolist()))


def _is_own(case: NullCase) -> Int[Tensor, " own"]:
    """Ranks of the circuit's features; those that no longer differ have none."""
    ranking = case.ranking
    own = []
    for index, site in enumerate(ranking.sites):
        if site not in case.nodes.nodes:
            continue
        position, feature_id = case.nodes.nodes[site]
        same = (ranking.site_index[:, None] == index) & (ranking.position[:, None] == position.to(ranking.position))
        own.append((same & (ranking.feature_id[:, None] == feature_id.to(ranking.feature_id))).any(dim=1).nonzero())
    return torch.cat(own)[:, 0].cpu()


def _strata(case: NullCase) -> Int[Tensor, "nodes 2"]:
    """Deciles of density and of change of each ranked feature, among all that differ."""
    effects, ranking = case.effects.at_places, case.ranking
    change = torch.zeros(len(ranking))
    density = torch.zeros(len(ranking))
    densities = _densities(case)
    for index, site in enumerate(ranking.sites):
        here = ranking.site_index.cpu() == index
        scored = effects[site]
        order = scored.indirect_effect.abs().argsort(descending=True, stable=True)
        change[here] = (scored.activation - scored.baseline_activation).abs()[order].cpu()
        density[here] = densities[site][ranking.feature_id.cpu()[here]]
    return torch.stack([_deciles(density), _deciles(change)], dim=1)


def _deciles(values: Float[Tensor, " nodes"]) -> Int[Tensor, " nodes"]:
    edges = values.quantile(torch.arange(1, DECILES) / DECILES)
    return torch.bucketize(values, edges)


def _densities(case: NullCase) -> Mapping[Site, Float[Tensor, " d_sae"]]:
    """Share of tokens at which each feature is active: of reference prompts, or without any of the circuit's own."""
    ensemble, host = case.opened.ensemble, case.opened.bench.host
    pool = _pool(case)
    prompts = [runs.behaviour.prompt_ids for runs in ensemble.runs]
    if pool is not None:
        prompts = pool.sample(N_DENSITY_PROMPTS, seed=case.seed)
    batch = host.batch(prompts)
    reads = ensemble.first.input_sites
    captured = host.capture(batch, set(reads.values()))
    return {
        site: (dictionary.encode(captured[reads[site]][batch.node_mask].float()) != 0).float().mean(dim=0).cpu()
        for site, dictionary in ensemble.dictionaries.items()
    }


def _pool(case: NullCase) -> ReferencePool | None:
    question, bench = case.opened.question, case.opened.bench
    if question.reference is not None:
        return read_references(bench.host, question.reference)
    return bench.bundled_references if find_bundle(bench.host.name) else None
