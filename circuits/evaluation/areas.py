"""Two numbers for a whole curve of faithfulness: CPR and CMD of the Mechanistic Interpretability Benchmark.

The curve is f over the share of nodes kept, on the benchmark's grid from 0.1 % to 100 %, by the trapezoid rule on a
linear axis. CPR, the area under f, asks which nodes lead from the baseline's answer to the model's: first come those
that lead there most, last those that lead away. CMD, the area of |1 - f|, asks for what the model does: its nodes come
by falling absolute contribution. With one ranking for both and f <= 1 all along they add up to the length of the grid,
0.999.

Source: Mueller et al. 2025 (arXiv 2504.13151), section 3.2 of it for the metrics; the grid is that of its code.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["SHARES", "cmd", "cpr", "sizes_of_shares"]

SHARES = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
"""Shares of all nodes that differ."""

ROUNDING = 1e-9


def sizes_of_shares(n_nodes: int) -> list[int]:
    """How many of `n_nodes` each share is, rounded down.

    >>> sizes_of_shares(1000)[:4]
    [1, 2, 5, 10]
    """
    return [int(share * n_nodes + ROUNDING) for share in SHARES]


def cpr(shares_kept: Float[Tensor, "draws grid"]) -> Float[Tensor, " draws"]:
    """Area under f, circuit performance ratio; higher is better.

    Args:
        shares_kept: f at each share of the grid.
    """
    return torch.trapezoid(shares_kept, _grid(shares_kept))


def cmd(shares_kept: Float[Tensor, "draws grid"]) -> Float[Tensor, " draws"]:
    """Area of |1 - f|, circuit model distance; 0 is best.

    Args:
        shares_kept: f at each share of the grid.
    """
    return torch.trapezoid((1 - shares_kept).abs(), _grid(shares_kept))


def _grid(like: Tensor, shares: Sequence[float] = SHARES) -> Float[Tensor, " grid"]:
    return torch.tensor(shares, dtype=like.dtype, device=like.device)
