"""Code lengths, in bits, of whole numbers and of sets, under codes that were fitted on other tokens.

Every code here is complete and gives every message a finite length, so that a length is a cross-entropy that is paid
and never an entropy of the very tokens that are described.
"""

import math

import torch
from jaxtyping import Float64, Int64
from torch import Tensor

__all__ = ["NumberCode", "log2_choices", "rates"]

PRIOR_WEIGHT = 1.0
"""So many observations the prior counts for."""


class NumberCode:
    """Whole numbers from 0 on, several streams of them, each with its own distribution.

        P_i(q) = (count_i(q) + w P(q)) / (n_i + w),     P(q) = (count(q) + w G(q)) / (n + w)

    with the counts of stream i, those of all streams, and G the distribution that Elias' gamma code (1975) is made for,
    which gives every number some length. Without a prior, w = 0, these are the plain frequencies.

    Args:
        streams: Stream of each number that the code is fitted on.
        numbers: The numbers.
        n_streams: How many streams there are.
        prior_weight: w.
    """

    def __init__(
        self,
        streams: Int64[Tensor, " fitted"],
        numbers: Int64[Tensor, " fitted"],
        n_streams: int,
        *,
        prior_weight: float = PRIOR_WEIGHT,
    ) -> None:
        self._weight = prior_weight
        self._size = int(numbers.max()) + 1 if len(numbers) else 1
        self._totals = streams.bincount(minlength=n_streams).double()
        self._common = numbers.bincount(minlength=self._size).double()
        self._keys, self._counts = (streams * self._size + numbers).unique(return_counts=True)

    def bits(self, streams: Int64[Tensor, " coded"], numbers: Int64[Tensor, " coded"]) -> Float64[Tensor, " coded"]:
        """Length of each number's code."""
        known = numbers < self._size
        own = torch.where(known, self._count(streams * self._size + numbers.clamp(max=self._size - 1)), 0.0)
        common = torch.where(known, self._common[numbers.clamp(max=self._size - 1)], 0.0)
        weight, n_common = self._weight, self._common.sum()
        prior = (common + weight * _gamma_probability(numbers)) / (n_common + weight) if weight else 0.0
        return -((own + weight * prior) / (self._totals[streams] + weight)).log2()

    def _count(self, keys: Int64[Tensor, " coded"]) -> Float64[Tensor, " coded"]:
        if len(self._keys) == 0:
            return torch.zeros(len(keys), dtype=torch.float64)
        places = torch.searchsorted(self._keys, keys).clamp(max=len(self._keys) - 1)
        return torch.where(self._keys[places] == keys, self._counts[places].double(), 0.0)


def _gamma_probability(numbers: Int64[Tensor, " coded"]) -> Float64[Tensor, " coded"]:
    """2^-length of Elias' gamma code of q + 1; sums to 1 over all q."""
    return torch.exp2(-(2 * (numbers + 1).double().log2().floor() + 1))


def rates(
    counts: Float64[Tensor, " features"],
    n: float | Float64[Tensor, " features"],
    *,
    prior_weight: float = PRIOR_WEIGHT,
) -> Float64[Tensor, " features"]:
    """Probability that something happens, from how often it did: the estimate of Krichevsky and Trofimov (1981)."""
    return (counts + prior_weight / 2) / (n + prior_weight)


def log2_choices(n: int, k: Int64[Tensor, " tokens"]) -> Float64[Tensor, " tokens"]:
    """log2 of the number of sets of k of n things."""
    k = k.double()
    total = torch.tensor(float(n), dtype=torch.float64)
    return (torch.lgamma(total + 1) - torch.lgamma(k + 1) - torch.lgamma(total - k + 1)) / math.log(2)
