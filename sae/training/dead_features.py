"""Which features have fallen silent, counted in tokens: a count of steps would depend on the batch."""

import torch
from jaxtyping import Bool, Int64
from torch import Tensor

__all__ = ["DeadFeatures"]


class DeadFeatures:
    """Counts, for each feature, the tokens seen since it last fired.

    Args:
        d_sae: Number of features.
        after_tokens: A feature is dead once it has been silent for this many.
        device: Where the counts lie.
    """

    def __init__(self, d_sae: int, *, after_tokens: int, device: torch.device) -> None:
        self.after_tokens = after_tokens
        self.silent_tokens = torch.zeros(d_sae, dtype=torch.long, device=device)

    def update(self, fire_counts: Int64[Tensor, " d_sae"], n_tokens: int) -> None:
        """Take in a step of `n_tokens` tokens."""
        self.silent_tokens += n_tokens
        self.silent_tokens[fire_counts > 0] = 0

    @property
    def mask(self) -> Bool[Tensor, " d_sae"]:
        """True for dead features."""
        return self.silent_for(self.after_tokens)

    def silent_for(self, n_tokens: float | int) -> Bool[Tensor, " d_sae"]:
        """True for features that fired on none of the last `n_tokens` tokens."""
        return self.silent_tokens >= n_tokens
