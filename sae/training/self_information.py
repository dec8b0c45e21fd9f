"""What it costs to say that a feature is active, in bits, by how often it has been active lately."""

import math

import torch
from jaxtyping import Float, Int64
from torch import Tensor

__all__ = ["SelfInformation"]

MEMORY_TOKENS = 100_000
"""After so many tokens a token counts 1/e in the running rates."""


class SelfInformation:
    r"""Costs of features for an L0 penalty that stands for description length.

    A feature that is active with probability p takes -log2 p bits of a token where it is active and -log2 (1 - p) where
    it is not, so that to be active costs log2((1 - p) / p) more, and the bits of its value B besides (after Ayonrinde,
    Pearce and Sharkey 2024, arXiv 2410.11179; they choose among finished dictionaries and do not train by it).

        w_i = max(0, log2((1 - p_i) / p_i) + B),     p_i a running mean, through which no gradient flows

    The costs are divided by what an active feature costs on average, so that the penalty's coefficient and the control
    of L0 mean what they mean for the plain penalty, and only the features' shares of it change: rare features pay more.

    Args:
        d_sae: Number of features.
        l0: Active features of a token before any is seen: every feature begins at the rate l0 / d_sae.
        value_bits: B.
        device: Where the rates lie.
    """

    def __init__(self, d_sae: int, *, l0: float, value_bits: float, device: torch.device) -> None:
        self.rates: Float[Tensor, " d_sae"] = torch.full((d_sae,), l0 / d_sae, device=device)
        self._value_bits = value_bits

    def update(self, fire_counts: Int64[Tensor, " d_sae"], n_tokens: int) -> None:
        """Take in a step of `n_tokens` tokens."""
        self.rates.lerp_(fire_counts.to(self.rates) / n_tokens, 1 - math.exp(-n_tokens / MEMORY_TOKENS))

    @property
    def costs(self) -> Float[Tensor, " d_sae"]:
        """w, divided by its mean over active features; 1 for all where no feature costs anything."""
        p = self.rates.clamp(1 / MEMORY_TOKENS, 1 - 1 / MEMORY_TOKENS)
        bits = (((1 - p) / p).log2() + self._value_bits).clamp(min=0)
        mean = (p * bits).sum() / p.sum()
        return bits / mean if mean > 0 else torch.ones_like(bits)
