"""Feeds training straight from the host, without a store: a buffer of activations is kept filled and shuffled."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float32
from torch import Tensor

from sae.activations.documents import Document, DocumentReader, cut_to
from sae.activations.outliers import OutlierRule
from sae.activations.statistics import Moments, SiteStatistics
from sae.activations.store.harvesting import store_configuration
from sae.activations.store.window import harvest_ordinary_tokens, pack_window
from sae.activations.token_draw import SourceState, TokenDraw
from sae.host.host import HostModel
from sae.host.sites import Site

__all__ = ["LiveSource"]


class LiveSource:
    """Draws tokens of a corpus as the host produces them; the corpus begins again where it ends.

    The buffer is filled and put in random order whenever less than half of it is left. A token thus mixes with those
    of some buffers' length around it, not with the whole corpus as in a store. The first documents are held out; the
    statistics and the outlier rule are theirs, and a later document with the text of one of them is left out.

    Args:
        host: The model.
        texts: Gives the corpus from its beginning each time it is called.
        sites: Where to read, of width d_model.
        corpus: What the texts are, such as their SPEC and seed.
        buffer_tokens: Tokens in the buffer, which takes `2 * d_model` bytes a token and site.
        seed: Of the shuffling.
        **settings: `held_out_tokens`, `context_tokens`, `outlier_multiple`, `batch_tokens` as in `harvest_to_store`.

    Raises:
        ValueError: A setting is out of range, the host lacks a site, or the corpus is empty.
    """

    def __init__(
        self,
        host: HostModel,
        texts: Callable[[], Iterable[str]],
        sites: Sequence[Site],
        *,
        corpus: str,
        buffer_tokens: int = 262_144,
        seed: int = 0,
        **settings: Any,
    ) -> None:
        self._configuration = store_configuration(
            host, sites, corpus=corpus, n_tokens=buffer_tokens, seed=seed, **settings
        )
        self._host = host
        self._texts = texts
        self._generator = torch.Generator().manual_seed(seed)
        self._buffer = {site: torch.empty(0, self.d_model, dtype=torch.bfloat16) for site in self.sites}
        self._reader = self._open()
        self._hold_out()

    @property
    def sites(self) -> tuple[Site, ...]:
        """Where the activations are from, in forward order."""
        return self._configuration.sites

    @property
    def d_model(self) -> int:
        """Width of the activations."""
        return self._configuration.d_model

    @property
    def n_tokens(self) -> None:
        """There is no end to them."""

    def draw(self, n: int) -> TokenDraw:
        """`n` tokens out of the buffer, in float32; no token comes twice until the corpus begins again.

        Raises:
            ValueError: `n` is more than half of the buffer, or the corpus has no tokens to train on.
        """
        half = self._configuration.n_tokens // 2
        if n > half:
            raise ValueError(f"cannot draw {n} tokens, expected at most {half}, half of buffer_tokens; make it larger")
        if self._n_buffered - n < half:
            self._refill()
        drawn = {site: rows[:n].float() for site, rows in self._buffer.items()}
        self._buffer = {site: rows[n:] for site, rows in self._buffer.items()}
        return TokenDraw(drawn)

    def statistics(self, site: Site) -> SiteStatistics:
        """Mean and spread of the held-out tokens."""
        return Moments.of(self._held_out[site]).statistics(site)

    def held_out(self, site: Site) -> Float32[Tensor, "tokens d_model"]:
        """Tokens of the first documents, which are never drawn."""
        return self._held_out[site].float()

    def held_out_emphasis(self) -> None:
        """No token counts more than another."""

    def state_dict(self) -> SourceState:
        """The place in the corpus, the random numbers, and what is left in the buffer.

        The buffer makes the state large: up to `2 * buffer_tokens * d_model` bytes a site.
        """
        return {
            "n_texts": self._reader.n_read,
            "texts_digest": self._reader.digest,
            "generator": self._generator.get_state(),
            "settings": self._configuration.content_hash,
            **{f"buffer/{site}": rows for site, rows in self._buffer.items()},
        }

    def load_state_dict(self, state: Mapping[str, Tensor | int | str]) -> None:
        """Go on as the source would have gone on from which `state` is.

        Raises:
            ValueError: The state is of a source with other settings, or the corpus has changed.
        """
        if state["settings"] != self._configuration.content_hash:
            raise ValueError("the checkpoint was trained on other tokens; resume with the same host, corpus and sites")
        self._reader = self._open()
        self._reader.catch_up(int(state["n_texts"]), self._n_held_out_texts, str(state["texts_digest"]))
        buffer, generator = {site: state[f"buffer/{site}"] for site in self.sites}, state["generator"]
        assert isinstance(generator, Tensor)
        self._generator.set_state(generator)
        self._buffer = {site: rows.clone() for site, rows in buffer.items() if isinstance(rows, Tensor)}

    @property
    def _n_buffered(self) -> int:
        return len(self._buffer[self.sites[0]])

    def _open(self) -> DocumentReader:
        return DocumentReader(self._host, self._texts(), context_tokens=self._configuration.context_tokens)

    def _hold_out(self) -> None:
        wanted = self._configuration.held_out_tokens
        documents = cut_to(self._reader.take(wanted, hold_out=True), wanted)
        if not documents:
            raise ValueError("the corpus gave no token to harvest, expected at least one document with text")
        self._n_held_out_texts = self._reader.n_read
        parts = list(harvest_ordinary_tokens(self._host, documents, self._configuration))
        self._rule = OutlierRule.from_tokens(self._configuration.outlier_multiple, parts)
        window = pack_window(parts, self._rule, self._configuration)
        self._held_out = {site: window.block[str(site)] for site in self.sites}

    def _refill(self) -> None:
        """Fill the buffer up and put it in a new random order."""
        while (wanted := self._configuration.n_tokens - self._n_buffered) > 0:
            documents = cut_to(self._next_documents(wanted), wanted)
            found = harvest_ordinary_tokens(self._host, documents, self._configuration)
            block = pack_window(found, self._rule, self._configuration).block
            self._buffer = {site: torch.cat([rows, block[str(site)]]) for site, rows in self._buffer.items()}
        order = torch.randperm(self._n_buffered, generator=self._generator)
        self._buffer = {site: rows[order] for site, rows in self._buffer.items()}

    def _next_documents(self, n_tokens: int) -> list[Document]:
        """The next documents, from the beginning again where the corpus ends."""
        documents = self._reader.take(n_tokens)
        if not documents:
            self._reader = self._open()
            self._reader.skip(self._n_held_out_texts, hold_out=True)
            documents = self._reader.take(n_tokens)
        if not documents:
            raise ValueError(
                f"the corpus has no tokens beside the {len(self._held_out[self.sites[0]])} that are held out; "
                f"give more text, or fewer held_out_tokens than {self._configuration.held_out_tokens}"
            )
        return documents
