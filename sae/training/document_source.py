"""Whole documents run through the host as training needs them, for losses that look at the host's output."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from sae.activations.statistics import SiteStatistics, site_statistics
from sae.activations.token_draw import SourceState, TokenDraw
from sae.host.host import HostModel
from sae.host.sites import Site
from sae.host.token_batch import TokenBatch

__all__ = ["DocumentDraw", "DocumentSource"]

STATISTICS_TOKENS = 20_000


@dataclass(frozen=True, eq=False)
class DocumentDraw(TokenDraw):
    """Tokens of whole documents.

    Attributes:
        batch: The documents; `activations` hold its node positions, row by row.
        streams: Activations at every position, by site.
    """

    batch: TokenBatch = field(kw_only=True)
    streams: Mapping[Site, Float[Tensor, "batch seq d_model"]] = field(kw_only=True)


class DocumentSource:
    """Draws documents with replacement; only their ids are held in memory.

    Args:
        host: The model.
        documents: Token ids to train on, BOS included.
        held_out: Documents that are never drawn.
        sites: Where to read.
        seed: Of the draws.

    Raises:
        ValueError: There is no document to train on or none held out.
    """

    def __init__(
        self,
        host: HostModel,
        documents: Sequence[Int64[Tensor, " _"]],
        held_out: Sequence[Int64[Tensor, " _"]],
        sites: Sequence[Site],
        *,
        seed: int = 0,
    ) -> None:
        if not documents or not held_out:
            raise ValueError(
                f"there are {len(documents)} documents to train on and {len(held_out)} held out, "
                "expected some of both; give more text"
            )
        self._host = host
        self._documents = list(documents)
        self._held_out = list(held_out)
        self._sites = tuple(sorted(sites))
        self._generator = torch.Generator().manual_seed(seed)
        self._statistics: dict[Site, SiteStatistics] = {}

    @property
    def sites(self) -> tuple[Site, ...]:
        """Where the activations are from, in forward order."""
        return self._sites

    @property
    def d_model(self) -> int:
        """Width of the activations."""
        return self._host.d_model

    @property
    def n_tokens(self) -> int:
        """Tokens of all documents, BOS included."""
        return sum(map(len, self._documents))

    def draw(self, n: int) -> DocumentDraw:
        """Random documents, as many as have at least `n` tokens together."""
        chosen: list[Tensor] = []
        while sum(map(len, chosen)) < n:
            index = torch.randint(len(self._documents), (), generator=self._generator)
            chosen.append(self._documents[int(index)])
        batch = self._host.batch(chosen).to(self._host.device)
        streams = self._host.capture(batch, self._sites)
        activations = {site: x[batch.node_mask].float() for site, x in streams.items()}
        return DocumentDraw(activations, batch=batch, streams=streams)

    def statistics(self, site: Site) -> SiteStatistics:
        """Mean and scale of the first documents' tokens."""
        if site not in self._statistics:
            rows = self._rows(self._documents, site, STATISTICS_TOKENS)
            self._statistics[site] = site_statistics(site, [rows])
        return self._statistics[site]

    def held_out(self, site: Site) -> Float[Tensor, "tokens d_model"]:
        """Tokens of the held-out documents."""
        return self._rows(self._held_out, site)

    def held_out_emphasis(self) -> None:
        """No token counts more than another."""

    def state_dict(self) -> SourceState:
        """State of the random numbers, and which documents they are for."""
        digest = hashlib.sha256()
        for ids in self._documents:
            digest.update(ids.numpy().tobytes() + b";")
        return {"generator": self._generator.get_state(), "fingerprint": digest.hexdigest()}

    def load_state_dict(self, state: Mapping[str, Tensor | int | str]) -> None:
        """Go on from a state.

        Raises:
            ValueError: It is of other documents.
        """
        if state["fingerprint"] != self.state_dict()["fingerprint"]:
            raise ValueError("the checkpoint was trained on other documents; resume with the same corpus and seed")
        generator = state["generator"]
        assert isinstance(generator, Tensor)
        self._generator.set_state(generator)

    def _rows(
        self, documents: Sequence[Int64[Tensor, " _"]], site: Site, n_tokens: int | None = None
    ) -> Float[Tensor, "tokens d_model"]:
        """Activations at node positions, of as many documents as have `n_tokens` tokens, or of all."""
        rows: list[Tensor] = []
        for ids in documents:
            if n_tokens is not None and sum(map(len, rows)) >= n_tokens:
                break
            batch = self._host.batch([ids]).to(self._host.device)
            rows.append(self._host.capture(batch, [site])[site][batch.node_mask].float())
        return torch.cat(rows)
