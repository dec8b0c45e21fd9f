"""Which nodes a circuit keeps: by wanted faithfulness, by number, or by size of effect."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float, Int
from torch import Tensor

from circuits.effects.node_effects import RankedEffects
from circuits.evaluation.kept_share import bootstrap_interval, faithfulness, reason_to_withhold
from circuits.evaluation.masked_runs import ALL_FEATURES, ensemble_metrics
from circuits.runs.ensemble import Ensemble
from circuits.runs.node_set import NodeSet
from sae.host.sites import Site

__all__ = ["MAX_NODES", "Ranking", "Selection", "select_nodes"]

MAX_NODES = 200
N_NULL_DRAWS = 8
_SIZES = (1, 2, 3, 5, 8, 12, 16, 20, 25, 30, 40, 50, 65, 80, 100, 125, 150, 175, 200)
_REFINED = 8
SIZES_MEASURED = len(_SIZES) + _REFINED
"""Circuits that a search for a wanted faithfulness runs, about."""
NEARLY = 0.01


@dataclass(frozen=True)
class Ranking:
    """All feature nodes that differ between clean and baseline, first what a circuit keeps first; at places."""

    sites: tuple[Site, ...]
    site_index: Int[Tensor, " nodes"]
    position: Int[Tensor, " nodes"]
    feature_id: Int[Tensor, " nodes"]
    effect: Float[Tensor, " nodes"]

    @classmethod
    def by_effect(cls, effects: Mapping[Site, RankedEffects]) -> "Ranking":
        """Rank the nodes of all sites together, strongest |effect| first."""
        return cls.by_score(effects, {site: scored.indirect_effect.abs() for site, scored in effects.items()})

    @classmethod
    def by_score(
        cls, effects: Mapping[Site, RankedEffects], scores: Mapping[Site, Float[Tensor, " nodes"]]
    ) -> "Ranking":
        """Rank the nodes of all sites together, highest score first; one score for each node of `effects`."""
        order = torch.cat([scores[site] for site in effects]).argsort(descending=True, stable=True)
        site_index = torch.cat([torch.full_like(scored.position, i) for i, scored in enumerate(effects.values())])
        return cls(
            tuple(effects),
            site_index[order],
            torch.cat([scored.position for scored in effects.values()])[order],
            torch.cat([scored.feature_id for scored in effects.values()])[order],
            torch.cat([scored.indirect_effect for scored in effects.values()])[order],
        )

    def __len__(self) -> int:
        return len(self.effect)

    def n_reaching(self, share: float) -> int:
        """How many of the strongest nodes have together this share of all |effect|.

        A node's effect runs through every path from it to the answer, so this is the influence that attribution graphs
        sum over paths, except that paths of opposite sign cancel.

        Source: pruning by cumulative influence, Ameisen et al. 2025. Differs from it: as said.
        """
        influence = self.effect.abs().double().cumsum(dim=0)
        return int((influence < share * influence[-1] * (1 - 1e-12)).sum()) + 1 if share > 0 else 0

    def top(self, n: int) -> NodeSet:
        """The `n` strongest nodes."""
        return self.chosen(torch.arange(min(n, len(self)), device=self.effect.device))

    def random(self, n: int, seed: int) -> NodeSet:
        """`n` nodes drawn from all that differ."""
        drawn = torch.randperm(len(self), generator=torch.Generator().manual_seed(seed))[:n]
        return self.chosen(drawn.to(self.effect.device))

    def chosen(self, ranks: Int[Tensor, " chosen"]) -> NodeSet:
        """The nodes at the given ranks."""
        nodes = {}
        for i, site in enumerate(self.sites):
            here = ranks[self.site_index[ranks] == i]
            if len(here):
                nodes[site] = (self.position[here], self.feature_id[here])
        return NodeSet(nodes)


@dataclass(frozen=True)
class Selection:
    """The chosen size, and what it keeps of the behaviour."""

    n_nodes: int
    value: float | None
    """Faithfulness of the chosen nodes; None where it is withheld, as all shares then are."""
    low: float | None
    high: float | None
    """95 % interval over the units; none with a single one."""
    null: float | None
    """Mean faithfulness of as many random nodes among those that differ."""
    share_kept_without_errors: float | None
    """Faithfulness of all features together, errors at their baseline."""
    baseline_metric: float
    """m with every feature and error at its baseline."""
    curve: Mapping[int, float]
    """Faithfulness by size, where it was measured on the way; empty where it is withheld."""
    reason: str | None = None
    """Why shares are withheld."""


def select_nodes(
    ensemble: Ensemble,
    ranking: Ranking,
    *,
    wanted_faithfulness: float | None = None,
    top_k: int | None = None,
    node_threshold: float | None = None,
    cumulative: float | None = None,
    seed: int = 0,
) -> Selection:
    """Choose how many of the ranked nodes to keep, and evaluate them beside their null.

    Exactly one of the criteria is used: the smallest size whose faithfulness reaches `wanted_faithfulness` (at most 200
    nodes; where none does, the smallest that keeps about as much as any), the `top_k` strongest, the strongest whose
    |effects| add up to the share `cumulative` of all, or all with |effect| >= `node_threshold`.

    Where faithfulness is withheld the search goes on by the mean metric, which needs no ratio: the smallest size that
    covers the wanted share of the way from the baseline's mean to the model's. No share is then said of it.
    """
    sweep = _Sweep(ensemble, ranking)
    if wanted_faithfulness is not None:
        n_nodes = sweep.smallest_reaching(wanted_faithfulness)
    elif top_k is not None:
        n_nodes = min(top_k, len(ranking))
    elif cumulative is not None:
        n_nodes = ranking.n_reaching(cumulative)
    else:
        n_nodes = int((ranking.effect.abs() >= (node_threshold or 0.0)).sum())
    value = sweep.measure([n_nodes])[n_nodes]
    if reason := reason_to_withhold(sweep.empty, sweep.clean, groups=ensemble.groups, seed=seed):
        return Selection(n_nodes, None, None, None, None, None, sweep.empty.mean().item(), {}, reason)
    nulls = ensemble_metrics(ensemble, [ranking.random(n_nodes, seed + draw) for draw in range(N_NULL_DRAWS)])
    low, high = bootstrap_interval(sweep.metrics[n_nodes], sweep.empty, sweep.clean, groups=ensemble.groups, seed=seed)
    return Selection(
        n_nodes,
        value,
        low,
        high,
        faithfulness(nulls, sweep.empty, sweep.clean).mean().item(),
        faithfulness(sweep.everything[None], sweep.empty, sweep.clean)[0].item(),
        sweep.empty.mean().item(),
        dict(sorted(sweep.curve.items())),
    )


class _Sweep:
    """Faithfulness of the top n nodes for the sizes asked so far."""

    def __init__(self, ensemble: Ensemble, ranking: Ranking) -> None:
        self.ensemble, self.ranking = ensemble, ranking
        self.clean = ensemble.clean_metrics
        self.metrics: dict[int, Tensor] = {}
        self.curve: dict[int, float] = {}

    @cached_property
    def _ends(self) -> Float[Tensor, "2 units"]:
        return ensemble_metrics(self.ensemble, [NodeSet({}), ALL_FEATURES])

    @property
    def empty(self) -> Float[Tensor, " units"]:
        """m with everything at its baseline."""
        return self._ends[0]

    @property
    def everything(self) -> Float[Tensor, " units"]:
        """m with every feature kept and the errors at their baseline."""
        return self._ends[1]

    def measure(self, sizes: list[int]) -> dict[int, float]:
        """Faithfulness of each size; those not seen before are run in one batch."""
        new = [n for n in dict.fromkeys(sizes) if n not in self.curve]
        if new:
            metrics = ensemble_metrics(self.ensemble, [self.ranking.top(n) for n in new])
            values = faithfulness(metrics, self.empty, self.clean).tolist()
            self.metrics.update(zip(new, metrics, strict=True))
            self.curve.update(zip(new, values, strict=True))
        return self.curve

    def smallest_reaching(self, wanted: float) -> int:
        """Smallest measured size that keeps `wanted`; the grid is refined below the first that does.

        Where none does, the smallest that comes within 1 % of the best: more nodes would add nothing.
        """
        largest = min(MAX_NODES, len(self.ranking))
        sizes = sorted({min(n, largest) for n in _SIZES})
        first = self._first_reaching(sizes, wanted)
        if first is None:
            best = max(self.curve[n] for n in sizes)
            return next(n for n in sizes if self.curve[n] >= best - NEARLY * abs(best))
        below = max((n for n in sizes if n < first), default=0)
        step = max(1, (first - below) // _REFINED)
        refined = [*range(below + step, first, step), first]
        return self._first_reaching(refined, wanted) or first

    def _first_reaching(self, sizes: list[int], wanted: float) -> int | None:
        curve = self.measure(sizes)
        return next((n for n in sizes if curve[n] >= wanted), None)
