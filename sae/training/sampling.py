"""Random tokens for training, each drawn with its weight."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

__all__ = ["Sampler"]


class Sampler:
    """Draws tokens with replacement from activations held in memory.

    Args:
        activations: One row per token.
        weights: Relative probability of each token, not negative; None draws uniformly.
        generator: Source of randomness, on the device of the activations.

    Raises:
        ValueError: There is no token, or the weights do not fit or leave nothing to draw.
    """

    def __init__(
        self,
        activations: Float[Tensor, "tokens d_model"],
        weights: Float[Tensor, " weights"] | None,
        *,
        generator: torch.Generator,
    ) -> None:
        if len(activations) == 0:
            raise ValueError("there are no activations to train on, expected at least one token")
        if weights is None:
            weights = torch.ones(len(activations), device=activations.device)
        if len(weights) != len(activations):
            raise ValueError(f"there are {len(weights)} weights for {len(activations)} tokens, expected one each")
        if not bool(((weights >= 0) & weights.isfinite()).all()) or not bool(weights.any()):
            raise ValueError("sampling weights must be finite and not negative, with at least one above 0")
        self.activations = activations
        self.generator = generator
        # float64: in float32 a running sum over millions of tokens stops growing
        self.cumulative = weights.double().cumsum(0)

    def draw(self, n: int) -> Float[Tensor, "drawn d_model"]:
        """`n` tokens in float32, in the order of the store."""
        return self.activations[self.draw_rows(n)].float()

    def draw_rows(self, n: int) -> Int[Tensor, " drawn"]:
        """Row numbers of `n` tokens, in the order of the store."""
        uniform = torch.rand(n, dtype=torch.float64, device=self.activations.device, generator=self.generator)
        # sorted, so that both look-ups walk through memory in order
        targets = uniform.sort().values * self.cumulative[-1]
        return torch.searchsorted(self.cumulative, targets, right=True).clamp(max=len(self.activations) - 1)
