"""Which features to interpret: of all densities alike, never the first ones."""

import torch
from jaxtyping import Bool, Float64
from torch import Tensor

__all__ = ["STRATA", "choose_features"]

STRATA = 10


def choose_features(
    density: Float64[Tensor, " d_sae"], is_eligible: Bool[Tensor, " d_sae"], n: int, *, seed: int = 0
) -> list[int]:
    """Draw features so that every stratum of log density gives as many, as far as it has them.

    Strata are of equal width in the logarithm. What a stratum lacks is drawn from the others in turn.

    Args:
        density: Share of the tokens on which each feature is active; above 0 for those that may be chosen.
        is_eligible: Which may be chosen.
        n: How many features; all that may be chosen where there are fewer.
        seed: Of the draw.

    Returns:
        Features in ascending order.

    Raises:
        ValueError: No feature may be chosen.
    """
    eligible = is_eligible.nonzero()[:, 0]
    if len(eligible) == 0:
        raise ValueError("no feature is active in enough documents of the corpus, expected some; give more --tokens")
    logs = density[eligible].log()
    span = (logs.max() - logs.min()).clamp(min=1e-9)
    stratum = ((logs - logs.min()) / span * STRATA).long().clamp(max=STRATA - 1)
    shuffled = torch.randperm(len(eligible), generator=torch.Generator().manual_seed(seed))
    waiting = [eligible[shuffled[stratum[shuffled] == each]].tolist() for each in range(STRATA)]
    chosen: list[int] = []
    while len(chosen) < min(n, len(eligible)):
        for features in waiting:
            if features and len(chosen) < n:
                chosen.append(features.pop())
    return sorted(chosen)
