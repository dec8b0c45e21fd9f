"""The fewest nodes that keep what is required, by backward elimination.

1. Measure what is left without each node.
2. Of those that can go, drop the cheapest: as many together (1, 2, 4, ...) as the requirement allows, and at most a
   quarter of all, since what a node is worth changes with the others.
3. Begin again, until no single node can go.

The result is minimal in that sense; a smaller circuit of other nodes may exist. What it keeps is measured on the runs
that it was chosen by, so it is optimistic for others.

Source: backward elimination as in Conmy et al. 2023 (ACDC, arXiv 2304.14997). Differs from it: nodes instead of edges,
the cheapest first and several at once instead of in reverse order of the pass, and the bound on an interval's end.
"""

import torch
from jaxtyping import Int
from torch import Tensor

from circuits.evaluation.selection import Ranking
from circuits.verification.requirement import Requirement
from sae.progress import progress_counter

__all__ = ["fewest_nodes"]

SHARE_DROPPED_AT_ONCE = 4
MEANT_DIGITS = 4
"""Decimals of faithfulness that order nodes; what the batch's size changes lies below."""


def fewest_nodes(requirement: Requirement, ranking: Ranking, ranks: Int[Tensor, " nodes"]) -> Int[Tensor, " kept"]:
    """Ranks of the nodes that stay when all are dropped that the requirement can spare.

    Args:
        requirement: Met by the nodes at `ranks`.
        ranking: Strongest first; among nodes that cost the same the weakest goes first.
        ranks: Where to start.
    """
    kept = ranks.sort().values
    with progress_counter(len(kept), "dropping nodes", unit="node") as bar:
        while len(left := _without_the_cheapest(requirement, ranking, kept)) < len(kept):
            bar.update(len(kept) - len(left))
            kept = left
    return kept


def _without_the_cheapest(
    requirement: Requirement, ranking: Ranking, kept: Int[Tensor, " kept"]
) -> Int[Tensor, " left"]:
    """Fewer nodes that are still enough; all where no single one can go."""
    if not len(kept):
        return kept
    alone = requirement.without_each(ranking, kept)
    n_spared = int((alone > requirement.wanted).sum())
    if not n_spared:
        return kept
    order = _cheapest_first(alone).to(kept.device)
    most = min(n_spared, max(1, len(kept) // SHARE_DROPPED_AT_ONCE))
    left = [_without(kept, order[:n]) for n in _doubled_up_to(most)]
    enough = requirement.of_nodes([ranking.chosen(ranks) for ranks in left]) > requirement.wanted
    return left[int(enough.nonzero()[-1])] if enough.any() else kept


def _cheapest_first(alone: Tensor) -> Int[Tensor, " nodes"]:
    """First the node without which most is left."""
    costs = alone.round(decimals=MEANT_DIGITS).flip(0)
    return len(costs) - 1 - costs.argsort(descending=True, stable=True)


def _doubled_up_to(most: int) -> list[int]:
    """1, 2, 4 and so on, and `most`."""
    return [*(1 << power for power in range((most - 1).bit_length())), most]


def _without(kept: Int[Tensor, " kept"], dropped: Int[Tensor, " dropped"]) -> Int[Tensor, " left"]:
    stays = torch.ones_like(kept, dtype=torch.bool)
    stays[dropped] = False
    return kept[stays]
