"""How well estimated effects agree with measured ones."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["Agreement", "Measure", "agreement", "rank_correlation", "sign_agreement", "slope"]

N_DRAWS = 1000


@dataclass(frozen=True)
class Measure:
    """One number with its 95 % bootstrap interval and its null; None where it is undefined."""

    value: float | None
    low: float | None
    high: float | None
    null: float | None
    """Mean where the measured effects are shuffled among the nodes."""


@dataclass(frozen=True)
class Agreement:
    """Predicted against measured effects."""

    n: int
    slope: Measure
    """Of measured on predicted effects, through the origin; 1 where predictions are unbiased."""
    rank_correlation: Measure
    """Spearman's, -1 to 1."""
    sign_agreement: Measure
    """Share with equal signs, 0 to 1."""


Statistic = Callable[[Tensor, Tensor], Tensor]


def agreement(predicted: Float[Tensor, " n"], measured: Float[Tensor, " n"], *, seed: int = 0) -> Agreement:
    """Slope, rank correlation and sign agreement, with intervals over what was measured.

    Args:
        predicted: Estimated effects of nodes, or of edges.
        measured: Exact effects of the same.
        seed: Of the bootstrap and of the shuffled null.
    """
    predicted, measured = predicted.double(), measured.double()
    found = {
        name: _measure(statistic, predicted, measured, seed)
        for name, statistic in (
            ("slope", slope),
            ("rank_correlation", rank_correlation),
            ("sign_agreement", sign_agreement),
        )
    }
    return Agreement(len(predicted), **found)


def slope(predicted: Float[Tensor, "*draws n"], measured: Float[Tensor, "*draws n"]) -> Float[Tensor, "*draws"]:
    """Least squares through the origin; NaN where nothing was predicted.

    >>> slope(torch.tensor([1.0, 2.0]), torch.tensor([2.0, 4.0])).item()
    2.0
    """
    return (predicted * measured).sum(dim=-1) / predicted.square().sum(dim=-1)


def rank_correlation(
    predicted: Float[Tensor, "*draws n"], measured: Float[Tensor, "*draws n"]
) -> Float[Tensor, "*draws"]:
    """Spearman's; equal values share their mean rank. NaN where all values of a side are equal.

    >>> rank_correlation(torch.tensor([1.0, 2.0, 9.0]), torch.tensor([-3.0, 0.0, 1.0])).item()
    1.0
    """
    a, b = (_centred_ranks(x) for x in (predicted, measured))
    return (a * b).sum(dim=-1) / (a.square().sum(dim=-1) * b.square().sum(dim=-1)).sqrt()


def sign_agreement(
    predicted: Float[Tensor, "*draws n"], measured: Float[Tensor, "*draws n"]
) -> Float[Tensor, "*draws"]:
    """Share of equal signs; an effect of exactly 0 agrees with 0 only."""
    return (predicted.sign() == measured.sign()).to(predicted).mean(dim=-1)


def _centred_ranks(x: Float[Tensor, "*draws n"]) -> Float[Tensor, "*draws n"]:
    below = (x[..., None, :] < x[..., :, None]).sum(dim=-1)
    equal = (x[..., None, :] == x[..., :, None]).sum(dim=-1)
    ranks = below.to(x) + (equal.to(x) - 1) / 2
    return ranks - ranks.mean(dim=-1, keepdim=True)


def _measure(statistic: Statistic, predicted: Float[Tensor, " n"], measured: Float[Tensor, " n"], seed: int) -> Measure:
    n = len(predicted)
    value = _finite(statistic(predicted, measured)) if n else None
    if value is None or n < 2:
        return Measure(value, None, None, None)
    draws = torch.Generator().manual_seed(seed)
    picked = torch.randint(n, (N_DRAWS, n), generator=draws)
    resampled = torch.cat([statistic(predicted[rows], measured[rows]) for rows in picked.split(16)])
    order = torch.rand(N_DRAWS, n, generator=draws).argsort(dim=1)
    shuffled = torch.cat([statistic(predicted.expand(len(rows), -1), measured[rows]) for rows in order.split(16)])
    low, high = resampled[resampled.isfinite()].quantile(torch.tensor([0.025, 0.975], dtype=torch.float64)).tolist()
    return Measure(value, low, high, _finite(shuffled[shuffled.isfinite()].mean()))


def _finite(value: Tensor) -> float | None:
    return value.item() if value.isfinite() else None
