"""Random rows for training, each drawn with its weight."""

import torch
from jaxtyping import Float, Int64
from torch import Tensor

__all__ = ["RowSampler"]


class RowSampler:
    """Draws row numbers with replacement.

    Args:
        n_rows: Rows to draw from.
        weights: Relative probability of each row, not negative; None draws uniformly.
        generator: Source of randomness; its state is all the state there is.

    Raises:
        ValueError: There is no row, or the weights do not fit or leave nothing to draw.
    """

    def __init__(self, n_rows: int, weights: Float[Tensor, " weights"] | None, *, generator: torch.Generator) -> None:
        if n_rows == 0:
            raise ValueError("there are no activations to train on, expected at least one token")
        if weights is not None and len(weights) != n_rows:
            raise ValueError(f"there are {len(weights)} weights for {n_rows} tokens, expected one each")
        if weights is not None and not bool(((weights >= 0) & weights.isfinite()).all() & weights.any()):
            raise ValueError("sampling weights must be finite and not negative, with at least one above 0")
        self.n_rows = n_rows
        self.generator = generator
        # float64: in float32 a running sum over millions of tokens stops growing
        self.cumulative = None if weights is None else weights.double().cumsum(0)

    def draw(self, n: int) -> Int64[Tensor, " drawn"]:
        """`n` row numbers in ascending order, so that whoever reads the rows walks through memory in order."""
        device = self.generator.device
        uniform = torch.rand(n, dtype=torch.float64, device=device, generator=self.generator).sort().values
        if self.cumulative is None:
            return (uniform * self.n_rows).long().clamp(max=self.n_rows - 1)
        rows = torch.searchsorted(self.cumulative, uniform * self.cumulative[-1], right=True)
        return rows.clamp(max=self.n_rows - 1)
