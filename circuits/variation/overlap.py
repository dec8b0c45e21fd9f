"""How alike two rankings of nodes are, and how alike random ones would be."""

from collections.abc import Hashable, Sequence

import numpy as np
from scipy.stats import hypergeom

__all__ = ["jaccard", "random_jaccard", "random_rank_biased_overlap", "rank_biased_overlap"]

PERSISTENCE = 0.9
"""Weight of each rank as a share of that of the one above it: the first ten carry 86 % of the weight."""


def jaccard(a: Sequence[Hashable], b: Sequence[Hashable]) -> float:
    """Shared members by all members, 0 to 1; two empty lists are equal.

    >>> jaccard("abc", "bcd")
    0.5
    """
    union = set(a) | set(b)
    return len(set(a) & set(b)) / len(union) if union else 1.0


def rank_biased_overlap(a: Sequence[Hashable], b: Sequence[Hashable], *, persistence: float = PERSISTENCE) -> float:
    """Overlap of two rankings that counts their tops most, 0 to 1, extrapolated beyond their ends.

    Args:
        a: Members, strongest first, each once.
        b: The same.
        persistence: How far down is looked, in (0, 1): the share of the next rank's weight in this one's.

    Source: Webber, Moffat and Zobel 2010, A similarity measure for indefinite rankings, equation 32.

    >>> round(rank_biased_overlap("ab", "ba"), 3)
    0.9
    """
    shorter, longer = sorted((a, b), key=len)
    if not shorter:
        return 0.0 if longer else 1.0
    rank = {member: index for index, member in enumerate(longer, start=1)}
    seen_in_both = [max(index, rank[member]) for index, member in enumerate(shorter, start=1) if member in rank]
    shared = np.bincount(seen_in_both, minlength=len(longer) + 1).cumsum()[1:]
    depth, short = np.arange(1, len(longer) + 1), len(shorter)
    within = shared[short - 1]
    agreement = shared / depth + within * (depth - short).clip(min=0) / (short * depth)
    beyond = (shared[-1] - within) / len(longer) + within / short
    weighted = (1 - persistence) / persistence * (agreement * persistence**depth).sum()
    return float(weighted + beyond * persistence ** len(longer))


def random_jaccard(size: int, total: int) -> float:
    """Expected Jaccard index of two random sets of `size` among `total` members.

    >>> random_jaccard(3, 3)
    1.0
    """
    if size == 0:
        return 1.0
    shared = np.arange(max(0, 2 * size - total), size + 1)
    return float((hypergeom.pmf(shared, total, size, size) * shared / (2 * size - shared)).sum())


def random_rank_biased_overlap(size: int, total: int, *, persistence: float = PERSISTENCE) -> float:
    """Expected rank-biased overlap of two random rankings of `size` among `total` members.

    At depth d they share d^2 / total members on average.
    """
    if size == 0:
        return 1.0
    depth = np.arange(1, size + 1)
    weighted = (1 - persistence) / persistence * (depth / total * persistence**depth).sum()
    return float(weighted + size / total * persistence**size)
