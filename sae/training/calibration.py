"""JumpReLU thresholds that give a dictionary a wanted mean L0 on held-out tokens."""

import torch
from jaxtyping import Float
from torch import Tensor

from sae.dictionary.autoencoder import SAE

__all__ = ["threshold_factor_for_l0", "threshold_for_l0", "thresholds_under_emphasis"]

TOKENS_PER_CHUNK = 2048


@torch.no_grad()
def threshold_for_l0(sae: SAE, activations: Float[Tensor, "tokens d_model"], l0: float | int) -> float:
    """The scalar threshold with which `l0` features of a token are active on average.

    BatchTopK picks its features with a threshold that differs from batch to batch. One fixed threshold makes
    a token's features independent of its batch; chosen on held-out tokens it has the wanted mean L0 there
    exactly, ties aside.

    Args:
        sae: Its own threshold is ignored.
        activations: Held-out activations in the host's units.
        l0: Wanted mean number of active features of a token, greater than 0.

    Returns:
        The threshold; 0 where fewer than `l0` pre-activations of a token are positive on average.

    Raises:
        ValueError: `l0` is not between 0 and d_sae, or there is no token.
    """
    return _largest_not_counted(sae, activations, l0, unit=torch.ones_like(sae.threshold))


@torch.no_grad()
def threshold_factor_for_l0(sae: SAE, activations: Float[Tensor, "tokens d_model"], l0: float | int) -> float:
    """By what to multiply all thresholds so that `l0` features of a token are active on average.

    Args:
        sae: With thresholds of its own for each feature; a threshold of 0 stays 0.
        activations: Held-out activations in the host's units.
        l0: Wanted mean number of active features of a token, greater than 0.

    Returns:
        The factor: 1 where the thresholds are right already, 0 where too few pre-activations are positive.

    Raises:
        ValueError: `l0` is not between 0 and d_sae, there is no token, or features without a threshold alone are more
            than `l0`.
    """
    smallest = torch.finfo(torch.float32).tiny
    factor = _largest_not_counted(sae, activations, l0, unit=sae.threshold.clamp(min=smallest))
    if factor == float("inf"):
        raise ValueError(f"more than {l0} features of a token fire whose threshold is 0; set thresholds above 0")
    return factor


def _largest_not_counted(
    sae: SAE, activations: Float[Tensor, "tokens d_model"], l0: float | int, *, unit: Float[Tensor, " d_sae"]
) -> float:
    """The largest positive pre-activation, in units of `unit`, that is not among the `l0 * tokens` largest; or 0."""
    if not 0 < l0 <= sae.d_sae:
        raise ValueError(f"l0 is {l0}, expected more than 0 and at most d_sae, {sae.d_sae}")
    if len(activations) == 0:
        raise ValueError("there is no held-out token to calibrate the threshold on, expected at least one")
    n_active = round(l0 * len(activations))
    # one more than are to be active: features fire strictly above the threshold
    largest = torch.zeros(n_active + 1, device=sae.device)
    for rows in activations.split(TOKENS_PER_CHUNK):
        scaled = sae.pre_acts(rows.to(sae.device)) / unit
        candidates = torch.cat([largest, scaled[scaled > largest[-1]]])
        largest = candidates.topk(n_active + 1).values
    return float(largest[-1])


@torch.no_grad()
def thresholds_under_emphasis(
    sae: SAE,
    activations: Float[Tensor, "tokens d_model"],
    l0: float | int,
    emphasis: Float[Tensor, "tokens 1"],
) -> Float[Tensor, " d_sae"]:
    """One threshold for each feature, so that it fires as often as it does under emphasis.

    Selection by emphasis * pre_act > t cannot be repeated where the emphasis is unknown. But features that serve
    emphasised tokens are chosen at smaller pre-activations, and a lower threshold of their own says the same.

    Args:
        sae: Its own thresholds are ignored.
        activations: Held-out activations in the host's units.
        l0: Wanted mean number of active features of a token under emphasis, and so at the thresholds returned.
        emphasis: Of each token, above 0.

    Returns:
        Thresholds, not negative; features that never fire get the largest.
    """
    pre_acts = torch.cat([sae.pre_acts(rows.to(sae.device)) for rows in activations.split(TOKENS_PER_CHUNK)])
    scaled = pre_acts * emphasis.to(pre_acts)
    n_active = min(round(l0 * len(activations)), scaled.numel() - 1)
    cut = scaled.flatten().topk(n_active + 1).values[-1].clamp(min=0)
    n_fired = (scaled > cut).sum(dim=0)
    n_kept = min(int(n_fired.max()) + 1, len(pre_acts))
    largest = pre_acts.topk(n_kept, dim=0).values
    # A feature that fires on every token has no next smaller pre-activation: 0 lets it fire.
    ordered = torch.cat([largest, torch.zeros_like(largest[:1])])
    thresholds = ordered.gather(0, n_fired[None])[0].clamp(min=0)
    return torch.where(n_fired > 0, thresholds, torch.maximum(thresholds, cut))
