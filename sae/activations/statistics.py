"""Mean and spread of a site's activations, summed in float64 so that parts of a store can be added up."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from sae.host.sites import Site

__all__ = ["Moments", "SiteStatistics", "site_statistics"]

TOKENS_PER_CHUNK = 8192


@dataclass(frozen=True, eq=False)
class SiteStatistics:
    """What activations are normalised by before training.

    Attributes:
        mean: The mean activation.
        scale: Root mean square of an element about the mean, above 0.
        mean_norm: Mean Euclidean norm of a token's activation.
        mean_square: Mean squared norm, E||x||^2.
    """

    mean: Float[Tensor, " d_model"]
    scale: float
    mean_norm: float
    mean_square: float


@dataclass(frozen=True, eq=False)
class Moments:
    """Sums over tokens from which `SiteStatistics` follow; those of two parts add up to those of the whole.

    Attributes:
        n_tokens: Tokens summed over.
        mean: Their mean.
        squared_deviation: Sum over tokens of the squared distance to `mean`.
        norm_sum: Sum of their norms.
    """

    n_tokens: int
    mean: Float64[Tensor, " d_model"]
    squared_deviation: float
    norm_sum: float

    @classmethod
    def none(cls, d_model: int) -> "Moments":
        """Of no token at all."""
        return cls(0, torch.zeros(d_model, dtype=torch.float64), 0.0, 0.0)

    @classmethod
    def of(cls, rows: Float[Tensor, "tokens d_model"]) -> "Moments":
        """Of some tokens in any floating precision."""
        total = cls.none(rows.shape[1])
        # Apple's GPUs have no float64
        rows = rows.cpu() if rows.device.type == "mps" else rows
        for chunk in rows.split(TOKENS_PER_CHUNK):
            if len(chunk):
                total += cls._of_chunk(chunk.double())
        return total

    @classmethod
    def _of_chunk(cls, rows: Float64[Tensor, "tokens d_model"]) -> "Moments":
        mean = rows.mean(0)
        return cls(len(rows), mean.cpu(), float((rows - mean).square().sum()), float(rows.norm(dim=-1).sum()))

    def __add__(self, other: "Moments") -> "Moments":
        # Chan, Golub and LeVeque 1983: no difference of large sums, hence no cancellation
        n_tokens = self.n_tokens + other.n_tokens
        if n_tokens == 0:
            return self
        apart = other.mean - self.mean
        between = float(apart.square().sum()) * self.n_tokens * other.n_tokens / n_tokens
        return Moments(
            n_tokens,
            self.mean + apart * (other.n_tokens / n_tokens),
            self.squared_deviation + other.squared_deviation + between,
            self.norm_sum + other.norm_sum,
        )

    def statistics(self, site: Site) -> SiteStatistics:
        """The statistics of the tokens summed so far.

        Raises:
            ValueError: They do not vary or are not finite.
        """
        scale = (self.squared_deviation / max(1, self.n_tokens * len(self.mean))) ** 0.5
        # written so that NaN is refused too
        if not 0 < scale < float("inf"):
            raise ValueError(f"the activations at {site} have spread {scale}, expected a finite one above 0")
        mean_square = self.squared_deviation / self.n_tokens + float(self.mean.square().sum())
        return SiteStatistics(self.mean.float(), scale, self.norm_sum / self.n_tokens, mean_square)


def site_statistics(site: Site, chunks: Iterable[Float[Tensor, "_ d_model"]]) -> SiteStatistics:
    """Statistics of tokens that come in chunks of any floating precision.

    Raises:
        ValueError: There are none, they do not vary or they are not finite.
    """
    parts = [Moments.of(rows) for rows in chunks]
    if not parts:
        raise ValueError(f"there are no activations at {site}, expected at least one token")
    return sum(parts, Moments.none(len(parts[0].mean))).statistics(site)
