"""The smallest set of features that surely keeps a share of the behaviour.

1. By rank: the fewest strongest nodes, doubled until they keep the share and then halved in between.
2. Backward elimination: every node left out in turn, all in one batch of masked runs; the one whose absence costs least
   goes, until none can.

A set keeps the share where the lower end of its interval does; where there is no interval, its value.

Source: backward elimination as in Conmy et al. 2023 (ACDC, arXiv 2304.14997). Differs from it: nodes instead of edges,
the cheapest first instead of in reverse order of the pass, and the bound on an interval's end.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float, Int
from torch import Tensor

from circuits.evaluation.kept_share import faithfulness, resampling_weights
from circuits.evaluation.masked_runs import ensemble_metrics
from circuits.evaluation.selection import Ranking
from circuits.runs.ensemble import Ensemble
from circuits.runs.node_set import NodeSet
from sae.progress import progress

__all__ = ["SetMeter", "eliminate", "smallest_by_rank"]

DIGITS = 5
"""Shares are compared to this many digits, so that the size of a batch decides nothing."""


@dataclass(frozen=True, eq=False)
class SetMeter:
    """Measures sets of ranked nodes.

    Attributes:
        ensemble: The runs.
        ranking: All nodes that differ from their baseline.
        seed: Of the bootstrap.
    """

    ensemble: Ensemble
    ranking: Ranking
    seed: int = 0

    @cached_property
    def empty(self) -> Float[Tensor, " units"]:
        """m with everything at its baseline."""
        return ensemble_metrics(self.ensemble, [NodeSet({})])[0]

    def lower_ends(self, sets: Sequence[Int[Tensor, " chosen"]]) -> Float[Tensor, " sets"]:
        """Lower end of each set's faithfulness, or its value where a single unit gives no interval.

        Args:
            sets: Ranks of their nodes.
        """
        ensemble = self.ensemble
        metrics = ensemble_metrics(ensemble, [self.ranking.chosen(ranks) for ranks in sets])
        clean = ensemble.clean_metrics
        values = faithfulness(metrics, self.empty, clean)
        weights = resampling_weights(len(clean), ensemble.groups, seed=self.seed)
        if weights is None:
            return values
        gap = weights @ (clean - self.empty)
        shares = (metrics - self.empty) @ weights.T / gap
        return shares.quantile(0.025, dim=1)


def smallest_by_rank(meter: SetMeter, wanted: float) -> int:
    """The fewest strongest nodes that keep `wanted`; found by doubling and halving.

    Raises:
        ValueError: Not even all nodes that differ from their baseline keep it.
    """
    n_all = len(meter.ranking)

    def kept(n: int) -> float:
        return meter.lower_ends([torch.arange(n)])[0].item()

    below, size = 0, 1
    while (found := kept(size)) < wanted:
        if size == n_all:
            raise ValueError(
                f"faithfulness {wanted:g} is out of reach: all {n_all} features keep {found:.3f}; ask for less"
            )
        below, size = size, min(2 * size, n_all)
    while size - below > 1:
        middle = (below + size) // 2
        below, size = (below, middle) if kept(middle) >= wanted else (middle, size)
    return size


def eliminate(meter: SetMeter, ranks: Int[Tensor, " chosen"], wanted: float) -> Int[Tensor, " left"]:
    """Leave out one node after another, the least missed first, as long as `wanted` is kept.

    Of nodes that are missed equally the weakest goes. What is left has no node that could go by itself.
    """
    for _ in progress(range(len(ranks) - 1), "leaving out nodes"):
        without = [torch.cat([ranks[:i], ranks[i + 1 :]]) for i in range(len(ranks))]
        kept = [round(value, DIGITS) for value in meter.lower_ends(without).tolist()]
        best = max(range(len(kept)), key=lambda i: (kept[i], int(ranks[i])))
        if kept[best] < wanted:
            break
        ranks = without[best]
    return ranks
