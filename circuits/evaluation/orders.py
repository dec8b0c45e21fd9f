"""In which order nodes enter a circuit."""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from circuits.effects.edge_effects import ERROR
from circuits.effects.ensemble_effects import PlaceEffects
from circuits.evaluation.selection import Ranking
from circuits.runs.ensemble import Ensemble
from circuits.runs.node_set import NodeSet
from sae.host.sites import Site

__all__ = ["all_errors", "complement", "leading_first", "ranks_of", "reordered", "union", "with_errors"]


def leading_first(ranking: Ranking, gap: float) -> Ranking:
    """First the nodes that lead most from the baseline's metric to the model's, last those that lead most away.

    Args:
        ranking: Of nodes with their effects.
        gap: m(model) - m(none). Where it is positive these are the nodes that support the target; where it is negative
            the model answers less in its favour than the baseline does, and they support the foil.
    """
    return reordered(ranking, (ranking.effect * gap).argsort(stable=True))


def reordered(ranking: Ranking, ranks: Int[Tensor, " chosen"]) -> Ranking:
    """The nodes at the given ranks, in that order, as a ranking of their own."""
    columns = (ranking.site_index, ranking.position, ranking.feature_id, ranking.effect)
    return Ranking(ranking.sites, *(column[ranks.to(column.device)] for column in columns))


def with_errors(ranking: Ranking, effects: Mapping[Site, PlaceEffects]) -> Ranking:
    """The errors that have an effect, ranked among the features by absolute effect.

    Args:
        ranking: Of the features.
        effects: Of all nodes, at the same sites.
    """
    columns = [[ranking.site_index], [ranking.position], [ranking.feature_id], [ranking.effect]]
    for index, site in enumerate(ranking.sites):
        effect = effects[site].error_effect
        place = effect.nonzero()[:, 0]
        added = (torch.full_like(place, index), place, torch.full_like(place, ERROR), effect[place])
        for column, values in zip(columns, added, strict=True):
            column.append(values)
    joined = [torch.cat(column) for column in columns]
    order = joined[3].abs().argsort(descending=True, stable=True)
    return Ranking(ranking.sites, *(column[order] for column in joined))


def all_errors(ensemble: Ensemble) -> NodeSet:
    """The errors of all sites at all places."""
    place = torch.arange(len(ensemble.places.names), device=ensemble.first.batch.ids.device)
    return NodeSet({site: (place, torch.full_like(place, ERROR)) for site in ensemble.sites})


def union(parts: Sequence[NodeSet]) -> NodeSet:
    """The nodes of several sets that have none in common."""
    nodes: dict[Site, list[tuple[Int[Tensor, " nodes"], Int[Tensor, " nodes"]]]] = {}
    for part in parts:
        for site, found in part.nodes.items():
            nodes.setdefault(site, []).append(found)
    return NodeSet({site: _joined(found) for site, found in nodes.items()})


def ranks_of(ranking: Ranking, nodes: NodeSet) -> Int[Tensor, " found"]:
    """Where nodes stand in a ranking, strongest first; those that are not in it are passed over."""
    return _is_among(ranking, nodes).nonzero()[:, 0]


def complement(ranking: Ranking, kept: NodeSet) -> NodeSet:
    """The ranked nodes that a circuit does not keep."""
    return ranking.chosen((~_is_among(ranking, kept)).nonzero()[:, 0])


def _is_among(ranking: Ranking, kept: NodeSet) -> Bool[Tensor, " nodes"]:
    is_kept = torch.zeros(len(ranking), dtype=torch.bool, device=ranking.effect.device)
    for index, site in enumerate(ranking.sites):
        if site not in kept.nodes:
            continue
        position, feature_id = (ids.to(is_kept.device) for ids in kept.nodes[site])
        here = (ranking.site_index == index).nonzero()[:, 0]
        same = (ranking.position[here, None] == position) & (ranking.feature_id[here, None] == feature_id)
        is_kept[here[same.any(dim=1)]] = True
    return is_kept


def _joined(
    found: Sequence[tuple[Int[Tensor, " _"], Int[Tensor, " _"]]],
) -> tuple[Int[Tensor, " nodes"], Int[Tensor, " nodes"]]:
    position, feature_id = (torch.cat(column) for column in zip(*found, strict=True))
    return position, feature_id
