"""Methods whose strengths mean different things, compared where they do equal harm."""

import torch
from jaxtyping import Float64, Int64
from torch import Tensor

__all__ = ["effect_at_harm", "strength_at_harm"]


def effect_at_harm(
    harms: Float64[Tensor, "draws strengths"],
    effects: Float64[Tensor, "draws strengths"],
    level: Float64[Tensor, " draws"],
) -> Float64[Tensor, " draws"]:
    """The effect of a method at the strength at which it first does a given harm.

    Harm and effect are linear in strength between two strengths that were measured. A model steered with the weaker or
    the stronger by chance has these means, so that what is read off can be had.

    Args:
        harms: At each strength, from none upwards; 0 at the first.
        effects: Likewise.
        level: The harm, at least 0.

    Returns:
        The effect; NaN where no strength does that harm.
    """
    before, part = _crossing(harms, level)
    low, high = (effects.gather(1, each[:, None])[:, 0] for each in (before, before + 1))
    return low + part * (high - low)


def strength_at_harm(
    strengths: Float64[Tensor, " strengths"], harms: Float64[Tensor, " strengths"], level: float
) -> float:
    """That strength; NaN where there is none."""
    found = effect_at_harm(harms[None], strengths[None], torch.tensor([level], dtype=torch.float64))
    return float(found[0])


def _crossing(
    harms: Float64[Tensor, "draws strengths"], level: Float64[Tensor, " draws"]
) -> tuple[Int64[Tensor, " draws"], Float64[Tensor, " draws"]]:
    """The strength before the first that does the harm, and how far to go from it to that one; NaN for never."""
    reached = harms[:, 1:] >= level[:, None]
    before = reached.int().argmax(1)
    low, high = (harms.gather(1, each[:, None])[:, 0] for each in (before, before + 1))
    # a level of no harm is had without steering, also where the first strength does none either
    part = torch.where(high > low, (level - low) / (high - low), 0.0)
    return before, torch.where(reached.any(1), part.clamp(0, 1), torch.nan)
