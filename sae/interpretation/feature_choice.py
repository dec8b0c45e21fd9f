"""Which features to interpret: of all densities alike, never the first ones."""

import torch
from jaxtyping import Float64
from torch import Tensor

__all__ = ["STRATA", "choose_features"]

STRATA = 10


def choose_features(density: Float64[Tensor, " d_sae"], n: int, *, seed: int = 0) -> list[int]:
    """Draw living features so that every stratum of log density gives as many, as far as it has them.

    Strata are of equal width in the logarithm. What a stratum lacks is drawn from the others in turn.

    Args:
        density: Share of the tokens on which each feature is active.
        n: How many features; all living ones where there are fewer.
        seed: Of the draw.

    Returns:
        Features in ascending order.

    Raises:
        ValueError: No feature is ever active.
    """
    living = (density > 0).nonzero()[:, 0]
    if len(living) == 0:
        raise ValueError("no feature is active on the corpus, expected some; give another corpus or more tokens")
    logs = density[living].log()
    span = (logs.max() - logs.min()).clamp(min=1e-9)
    stratum = ((logs - logs.min()) / span * STRATA).long().clamp(max=STRATA - 1)
    shuffled = torch.randperm(len(living), generator=torch.Generator().manual_seed(seed))
    waiting = [living[shuffled[stratum[shuffled] == each]].tolist() for each in range(STRATA)]
    chosen: list[int] = []
    while len(chosen) < min(n, len(living)):
        for features in waiting:
            if features and len(chosen) < n:
                chosen.append(features.pop())
    return sorted(chosen)
