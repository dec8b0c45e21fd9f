"""The tokens of one training step, and the state of what drew them."""

from collections.abc import Mapping
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from sae.host.sites import Site

__all__ = ["SourceState", "TokenDraw"]

SourceState = dict[str, Tensor | int | str]
"""All that decides what is drawn next; goes into a checkpoint."""


@dataclass(frozen=True, eq=False)
class TokenDraw:
    """The tokens of one step.

    Attributes:
        activations: By site, float32, in the host's units; row i is the same token at every site.
        emphasis: Of each token, above 0: its squared error counts emphasis^2 times. None where all count alike.
    """

    activations: Mapping[Site, Float[Tensor, "tokens d_model"]]
    emphasis: Float[Tensor, " tokens"] | None = None

    @property
    def n_tokens(self) -> int:
        """Number of tokens."""
        return len(next(iter(self.activations.values())))
