"""Feeds training from an activation store."""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float32
from torch import Tensor

from sae.activations.sampling import RowSampler
from sae.activations.statistics import SiteStatistics
from sae.activations.store.store import ActivationStore
from sae.activations.token_draw import SourceState, TokenDraw
from sae.host.sites import Site

__all__ = ["StoreSource"]


class StoreSource:
    """Draws the tokens of a store, the same at every site.

    Rows lie in random order, so without weights they are taken one after another, over and over: every token once
    an epoch, in the same order each time. With weights they are drawn independently, with replacement.

    Args:
        store: A complete store.
        sites: Those to train at; all of the store's by default.
        use_weights: Draw by the store's weights where it has them.
        seed: Of weighted draws.

    Raises:
        ValueError: The store is not complete, lacks a site or has no tokens.
    """

    def __init__(
        self, store: ActivationStore, *, sites: Sequence[Site] | None = None, use_weights: bool = True, seed: int = 0
    ) -> None:
        store.check_complete()
        self._store = store
        self._sites = tuple(sorted(store.sites if sites is None else set(sites)))
        for site in self._sites:
            store.check_site(site)
        self._position = 0
        self._generator = torch.Generator().manual_seed(seed)
        self._sampler = None
        if use_weights and store.tokens.weights is not None:
            self._sampler = RowSampler(store.n_tokens, store.tokens.weights, generator=self._generator)

    @property
    def sites(self) -> tuple[Site, ...]:
        """Where the activations are from, in forward order."""
        return self._sites

    @property
    def d_model(self) -> int:
        """Width of the activations."""
        return self._store.d_model

    @property
    def n_tokens(self) -> int:
        """Tokens of the store."""
        return self._store.n_tokens

    def draw(self, n: int) -> TokenDraw:
        """The next `n` tokens, or `n` random ones by weight; in float32."""
        if self._sampler is not None:
            rows = self._sampler.draw(n)
            return TokenDraw({site: self._store.rows(site, rows) for site in self._sites})
        start = self._position
        self._position = (start + n) % self.n_tokens
        return TokenDraw({site: self._in_turn(site, start, n) for site in self._sites})

    def _in_turn(self, site: Site, start: int, n: int) -> Float32[Tensor, "tokens d_model"]:
        """`n` rows from `start` on, beginning again at the end of the store."""
        parts = []
        while n > 0:
            parts.append(self._store.span(site, start, min(start + n, self.n_tokens)))
            n -= len(parts[-1])
            start = 0
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def statistics(self, site: Site) -> SiteStatistics:
        """Mean and spread of all tokens of the store, whatever their weights."""
        return self._store.statistics(site)

    def held_out(self, site: Site) -> Float32[Tensor, "tokens d_model"]:
        """Tokens of other documents."""
        return self._store.held_out(site)

    def held_out_emphasis(self) -> None:
        """No token counts more than another."""

    def state_dict(self) -> SourceState:
        """Where the next draw begins, the random numbers, and which store it is: some kilobytes."""
        return {
            "position": self._position,
            "generator": self._generator.get_state(),
            "store": self._store.content_hash,
        }

    def load_state_dict(self, state: Mapping[str, Tensor | int | str]) -> None:
        """Go on as the source would have gone on from which `state` is.

        Raises:
            ValueError: The state is of another store.
        """
        if state["store"] != self._store.content_hash:
            raise ValueError(
                f"the checkpoint was trained on another store ({str(state['store'])[:12]}) than {self._store.path} "
                f"({self._store.content_hash[:12]}); resume with that store"
            )
        generator = state["generator"]
        assert isinstance(generator, Tensor)
        self._generator.set_state(generator)
        self._position = int(state["position"])
