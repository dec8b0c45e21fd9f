"""Bits for which features of a token are active, under three codes; frequencies are those of the other half."""

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float64, Int64
from torch import Tensor

from sae.dictionary.feature_acts import FeatureActs
from sae.evaluation.entropy_codes import PRIOR_WEIGHT, NumberCode, log2_choices, rates

__all__ = ["SUPPORT_CODES", "after_previous_bits", "independent_bits", "subset_bits"]


def independent_bits(
    acts: FeatureActs,
    token_halves: Int64[Tensor, " tokens"],
    follows: Bool[Tensor, " tokens"],
    *,
    prior_weight: float = PRIOR_WEIGHT,
) -> Float64[Tensor, " tokens"]:
    """Each feature by its own rate p: -log2 p where it is active, -log2 (1 - p) where it is not."""
    token_ids = acts.token_ids()
    bits = torch.empty(acts.n_tokens, dtype=torch.float64)
    for half in (0, 1):
        paid, fitted = token_halves == half, token_halves != half
        counts = acts.feature_ids[fitted[token_ids]].bincount(minlength=acts.d_sae).double()
        p = rates(counts, float(fitted.sum()), prior_weight=prior_weight)
        silent = _silent_bits(p)
        extra = torch.where(p < 1, (1 - p).log2(), 0.0) - p.log2()
        total = torch.full((acts.n_tokens,), float(silent.sum()), dtype=torch.float64)
        total.index_add_(0, token_ids, extra[acts.feature_ids])
        bits[paid] = total[paid]
    return bits


def subset_bits(
    acts: FeatureActs, token_halves: Int64[Tensor, " tokens"], follows: Bool[Tensor, " tokens"]
) -> Float64[Tensor, " tokens"]:
    """How many are active, and then which set of so many: log2 of the number of sets. No feature has a rate."""
    bits = log2_choices(acts.d_sae, acts.l0)
    nothing = torch.zeros_like(acts.l0)
    for half in (0, 1):
        paid, fitted = token_halves == half, token_halves != half
        code = NumberCode(nothing[fitted], acts.l0[fitted], 1)
        bits[paid] += code.bits(nothing[paid], acts.l0[paid])
    return bits


def after_previous_bits(
    acts: FeatureActs, token_halves: Int64[Tensor, " tokens"], follows: Bool[Tensor, " tokens"]
) -> Float64[Tensor, " tokens"]:
    """Each feature by one of two rates: was it active on the token before, or not; before a document it was not."""
    token_ids, d_sae = acts.token_ids(), acts.d_sae
    keys = token_ids * d_sae + acts.feature_ids
    # where a feature was active on the token before, whether or not it is now
    continued = keys[follows[(token_ids + 1).clamp(max=acts.n_tokens - 1)] & (token_ids + 1 < acts.n_tokens)] + d_sae
    stays = torch.isin(continued, keys, assume_unique=True)
    begins = ~torch.isin(keys, continued, assume_unique=True)
    bits = torch.empty(acts.n_tokens, dtype=torch.float64)
    for half in (0, 1):
        paid, fitted = token_halves == half, token_halves != half
        of_fitted = fitted[continued // d_sae]
        n_after = _counts(continued[of_fitted], d_sae)
        p_after = rates(_counts(continued[of_fitted & stays], d_sae), n_after)
        begun = _counts(keys[begins & fitted[token_ids]], d_sae)
        p_begin = rates(begun, float(fitted.sum()) - n_after)
        silent = _silent_bits(p_begin)
        total = torch.full((acts.n_tokens,), float(silent.sum()), dtype=torch.float64)
        _add(total, keys[begins], -p_begin.log2() - silent)
        _add(total, continued[stays], -p_after.log2() - silent)
        _add(total, continued[~stays], _silent_bits(p_after) - silent)
        bits[paid] = total[paid]
    return bits


SUPPORT_CODES: dict[str, Callable[[FeatureActs, Tensor, Tensor], Tensor]] = {
    "independent": independent_bits,
    "subset": subset_bits,
    "after previous": after_previous_bits,
}
"""From activations, the half of each token and whether it follows one of its document, to bits of each token."""


def _counts(keys: Int64[Tensor, " some"], d_sae: int) -> Float64[Tensor, " d_sae"]:
    return (keys % d_sae).bincount(minlength=d_sae).double()


def _silent_bits(p: Float64[Tensor, " d_sae"]) -> Float64[Tensor, " d_sae"]:
    """Of saying that a feature is not active."""
    return torch.where(p < 1, -torch.log1p(-p) / torch.log(torch.tensor(2.0, dtype=torch.float64)), 0.0)


def _add(total: Float64[Tensor, " tokens"], keys: Int64[Tensor, " some"], bits: Float64[Tensor, " d_sae"]) -> None:
    """Add each key's feature's bits to its token."""
    total.index_add_(0, keys // len(bits), bits[keys % len(bits)])
