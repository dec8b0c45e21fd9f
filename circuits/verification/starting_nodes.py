"""Where elimination starts: few nodes that keep what is required.

What a ranking keeps does not rise steadily with size, since nodes that pull back towards the baseline come in between:
the strongest nodes are tried, and the strongest of those that lead from the baseline to the model.
"""

from collections.abc import Callable

from jaxtyping import Bool, Int
from torch import Tensor

from circuits.evaluation.curves import SIZES
from circuits.evaluation.orders import leading_first, ranks_of
from circuits.evaluation.selection import Ranking
from circuits.runs.node_set import NodeSet
from circuits.verification.requirement import Requirement

__all__ = ["smallest_enough", "starting_nodes"]


def starting_nodes(requirement: Requirement, ranking: Ranking, circuit: NodeSet) -> Int[Tensor, " nodes"]:
    """Ranks of the fewest nodes that keep enough among the circuit and the two orders cut at some size.

    Args:
        requirement: What is to be kept.
        ranking: Of all features that differ.
        circuit: What is to be made smaller.

    Raises:
        ValueError: None of them keeps enough.
    """
    orders = [ranking, leading_first(ranking, requirement.scale.gap)]
    sizes = _sizes(len(ranking))
    tried = [circuit, *(order.top(n) for order in orders for n in sizes)]
    shares = requirement.of_nodes(tried)
    starts = [circuit] if shares[0] > requirement.wanted else []
    for order, of_order in zip(orders, shares[1:].split(len(sizes)), strict=True):
        starts += _cut(requirement, order, sizes, of_order > requirement.wanted)
    if not starts:
        raise ValueError(
            f"faithfulness {requirement.wanted} is out of reach: of the circuit and its ranking at {len(sizes)} sizes "
            f"up to all {len(ranking)} features the best keeps {shares.max().item():.3f}; ask for less"
        )
    return ranks_of(ranking, min(starts, key=len))


def smallest_enough(is_enough: Callable[[int], bool], below: int, most: int) -> int:
    """A size that is enough where one less is not, by bisection.

    Args:
        is_enough: Of a size.
        below: A size that is not enough.
        most: A larger one that is.

    >>> smallest_enough(lambda n: n >= 7, 0, 100)
    7
    """
    while most - below > 1:
        middle = (below + most) // 2
        below, most = (below, middle) if is_enough(middle) else (middle, most)
    return most


def _sizes(n_nodes: int) -> list[int]:
    """Sizes of curves, then doubled up to all nodes."""
    beyond = [SIZES[-1] << power for power in range(1, n_nodes.bit_length())]
    return sorted({min(n, n_nodes) for n in (*SIZES, *beyond)})


def _cut(requirement: Requirement, order: Ranking, sizes: list[int], enough: Bool[Tensor, " sizes"]) -> list[NodeSet]:
    """An order cut where it first keeps enough, between the sizes that were tried; nothing where it never does."""
    if not enough.any():
        return []
    first = int(enough.nonzero()[0])

    def is_enough(n: int) -> bool:
        return requirement.of_nodes([order.top(n)]).item() > requirement.wanted

    return [order.top(smallest_enough(is_enough, sizes[first - 1] if first else 0, sizes[first]))]
