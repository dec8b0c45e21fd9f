"""Nulls of every score: explanations of other features that fire as often, and the topic alone."""

from collections.abc import Mapping, Sequence

import torch

__all__ = ["BLOCK", "density_matched_permutation"]

BLOCK = 8
"""Explanations are exchanged among so many features next to each other in density."""


def density_matched_permutation(
    density: Mapping[int, float], features: Sequence[int], *, seed: int = 0
) -> dict[int, int]:
    """For each feature another one of similar density, whose explanation it is scored with.

    Features are ranked by density and cut into blocks; within a block, all are moved on in a circle of random order, so
    that nobody keeps their own.

    Args:
        density: How often each of the features fires.
        features: Which ones; a lone one has nobody to exchange with and is left out.
        seed: Of the order within blocks.
    """
    if len(features) < 2:
        return {}
    generator = torch.Generator().manual_seed(seed)
    ranked = sorted(features, key=lambda feature: (density[feature], feature))
    n_blocks = max(1, len(ranked) // BLOCK)
    exchanged: dict[int, int] = {}
    for block in range(n_blocks):
        members = ranked[len(ranked) * block // n_blocks : len(ranked) * (block + 1) // n_blocks]
        circle = [members[place] for place in torch.randperm(len(members), generator=generator).tolist()]
        exchanged |= dict(zip(circle, [*circle[1:], circle[0]], strict=True))
    return exchanged
