"""What a feature is compared with: a linear probe's direction, and a random feature that is active as often.

The other two, a difference of means and a random direction, are in `directions.py`.
"""

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor

from sae.host.sites import Site
from sae.probing.logistic_probe import fit_probe, standardised
from steering.directions import Direction

__all__ = ["probe_direction", "random_feature"]

N_NEAREST = 20
"""Features nearest in density that one is drawn from."""


def probe_direction(
    site: Site,
    label: str,
    positive: Float[Tensor, "positive d_model"],
    negative: Float[Tensor, "negative d_model"],
    *,
    seed: int = 0,
) -> Direction:
    """The normal of the plane by which logistic regression tells two sets of activations apart, of length 1.

    It is fitted on half of each set, in units in which every coordinate has variance 1, with the penalty that does best
    on the other half, and brought back into the stream's own units.

    Args:
        site: Where the activations are from.
        label: What it is, for people.
        positive: The direction points to these.
        negative: And away from these.
        seed: Of the halves.

    Raises:
        ValueError: There are not two of each, or they are all alike.
    """
    if min(len(positive), len(negative)) < 2:
        raise ValueError(
            f"a probe for {label!r} needs two examples of each kind, got {len(positive)} with and {len(negative)} "
            "without it; give more prompts"
        )
    x = torch.cat([positive, negative]).double().cpu().numpy()
    y = np.repeat([1, 0], [len(positive), len(negative)])
    fitted = _halves(len(positive), len(negative), seed)
    units = standardised(x[fitted])
    probe = fit_probe(units(x[fitted]), y[fitted], units(x[~fitted]), y[~fitted])
    normal = probe.model.coef_[0] / units.scale
    length = float(np.linalg.norm(normal))
    if length == 0:
        raise ValueError(f"a probe for {label!r} found no difference, expected activations that differ")
    return Direction(site, label, tuple((normal / length).tolist()))


def random_feature(densities: Float64[Tensor, " d_sae"], feature: int, *, seed: int = 0) -> int:
    """Another feature that is active about as often: the null of a chosen one.

    Drawn from the `N_NEAREST` whose density is nearest by ratio; features that are never active are left out.

    Args:
        densities: Share of the tokens on which each feature is active.
        feature: The chosen one.
        seed: Of the draw.

    Raises:
        ValueError: There is no other feature, or the chosen one is never active.
    """
    if densities[feature] == 0:
        raise ValueError(f"feature {feature} is active on no reference token, expected some; measure on more text")
    away = (densities.log() - densities[feature].log()).abs()
    away[feature] = torch.inf
    nearest = [int(index) for index in away.argsort(stable=True)[:N_NEAREST] if away[index].isfinite()]
    if not nearest:
        raise ValueError(f"no feature but {feature} is ever active, expected others; measure on more text")
    return nearest[int(torch.randint(len(nearest), (1,), generator=torch.Generator().manual_seed(seed)))]


def _halves(n_positive: int, n_negative: int, seed: int) -> np.ndarray:
    """Which examples are fitted: about half of each kind, at least one."""
    generator = np.random.default_rng(seed)
    kinds = [generator.permutation(n) < (n + 1) // 2 for n in (n_positive, n_negative)]
    return np.concatenate(kinds)
