"""What feeds training: tokens drawn at random, with a state from which the same draws go on after an interruption."""

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from sae.activations.statistics import SiteStatistics
from sae.activations.token_draw import SourceState, TokenDraw
from sae.host.sites import Site

__all__ = ["TokenSource"]


@runtime_checkable
class TokenSource(Protocol):
    """Activations to train on, at one or several sites.

    Attributes:
        sites: Where the activations are from.
        d_model: Their width.
        n_tokens: Distinct tokens to draw from; None where there is no end to them.
    """

    @property
    def sites(self) -> tuple[Site, ...]: ...  # noqa: D102

    @property
    def d_model(self) -> int: ...  # noqa: D102

    @property
    def n_tokens(self) -> int | None: ...  # noqa: D102

    def draw(self, n: int) -> TokenDraw:
        """About `n` random tokens, the same at every site. Moves the state on."""

    def statistics(self, site: Site) -> SiteStatistics:
        """Mean and scale of one site's tokens; the same whenever asked, whatever was drawn."""

    def held_out(self, site: Site) -> Float[Tensor, "tokens d_model"]:
        """Tokens that are never drawn, in any floating precision."""

    def held_out_emphasis(self) -> Float[Tensor, " tokens"] | None:
        """Emphasis of the held-out tokens; None where all count alike."""

    def state_dict(self) -> SourceState:
        """The state, random numbers included."""

    def load_state_dict(self, state: Mapping[str, Tensor | int | str]) -> None:
        """Go on as the source would have gone on from which `state` is.

        Raises:
            ValueError: The state is of a source with other tokens.
        """
