"""The fewest nodes that keep what is required.

1. Bisection on the ranking: a size that is enough, where one less is not.
2. Backward elimination: one batch measures what is left without each node; the cheapest go together, as many as the
   requirement allows and at most an eighth of all, until no single node can go.

The result is minimal in that sense; a smaller circuit of other nodes may exist. What it keeps is measured on the runs
that it was chosen by, so it is optimistic for others.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from circuits.evaluation.selection import Ranking
from circuits.minimal.requirement import Requirement

__all__ = ["fewest_nodes", "smallest_enough"]

SHARE_DROPPED_AT_ONCE = 8
MEANT_DIGITS = 4
"""Decimals of faithfulness that order nodes; what the batch's size changes lies below."""


def smallest_enough(is_enough: Callable[[int], bool], most: int) -> int | None:
    """A size between 0 and `most` that is enough while one less is not, by bisection; None if `most` is not enough.

    >>> smallest_enough(lambda n: n >= 7, 100)
    7
    """
    if not is_enough(most):
        return None
    if is_enough(0):
        return 0
    low, high = 0, most
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if is_enough(middle) else (middle, high)
    return high


def fewest_nodes(requirement: Requirement, ranking: Ranking, ranks: Int[Tensor, " nodes"]) -> Int[Tensor, " kept"]:
    """Ranks of the nodes that stay when all are dropped that the requirement can spare.

    Args:
        requirement: Met by the nodes at `ranks`.
        ranking: Strongest first; among nodes that cost the same the weakest goes first.
        ranks: Where to start.
    """
    kept = ranks.sort().values
    while len(kept):
        order = _cheapest_first(requirement, ranking, kept)
        most = max(1, len(kept) // SHARE_DROPPED_AT_ONCE)
        without = [_without(kept, order[:n]) for n in range(1, most + 1)]
        enough = requirement.of_nodes([ranking.chosen(ranks) for ranks in without]) > requirement.wanted
        if not enough.any():
            break
        kept = without[int(enough.nonzero()[-1])]
    return kept


def _cheapest_first(requirement: Requirement, ranking: Ranking, kept: Int[Tensor, " kept"]) -> Int[Tensor, " kept"]:
    """Indices into `kept`, first the node without which most is left."""
    weakest_first = torch.arange(len(kept), device=kept.device).flip(0)
    alone: Float[Tensor, " kept"] = requirement.of_nodes(
        [ranking.chosen(_without(kept, index[None])) for index in weakest_first]
    )
    order = alone.round(decimals=MEANT_DIGITS).argsort(descending=True, stable=True)
    return weakest_first[order.to(kept.device)]


def _without(kept: Int[Tensor, " kept"], dropped: Int[Tensor, " dropped"]) -> Int[Tensor, " left"]:
    stays = torch.ones_like(kept, dtype=torch.bool)
    stays[dropped] = False
    return kept[stays]
