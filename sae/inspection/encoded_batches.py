"""A corpus run through the host and a dictionary, batch after batch; nothing of a batch is kept after the next."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from sae.activations.documents import Document, DocumentReader, batches_of_similar_length, cut_to
from sae.dictionary.autoencoder import SAE
from sae.dictionary.feature_acts import FeatureActs
from sae.host.host import HostModel
from sae.host.sites import Site
from sae.progress import progress_counter

__all__ = ["EncodedBatch", "encoded_batches"]

LONGEST_DOCUMENT = 512
"""Documents are cut to this many tokens, BOS included, or to the host's context where that is shorter."""
POOLED_TOKENS = 16_384
"""Tokens of the documents that are sorted by length together, so that little of a batch is padding."""
BATCH_TOKENS = 8192


@dataclass(frozen=True, eq=False)
class EncodedBatch:
    """Documents, one a row and padded on the left, with the features that are active on them.

    Attributes:
        ids: Token ids, BOS included.
        node_mask: True at the tokens that `feature_acts` has: all real ones but BOS.
        document_ids: Which document of the corpus a row is, counted from 0.
        feature_acts: Activations of the tokens of `node_mask`, row by row, on the CPU.
    """

    ids: Int64[Tensor, "batch seq"]
    node_mask: Bool[Tensor, "batch seq"]
    document_ids: Int64[Tensor, " batch"]
    feature_acts: FeatureActs

    @property
    def n_tokens(self) -> int:
        """Number of encoded tokens."""
        return self.feature_acts.n_tokens

    @cached_property
    def cells(self) -> Int64[Tensor, " tokens"]:
        """Where each encoded token lies in `ids.flatten()`."""
        return self.node_mask.flatten().nonzero()[:, 0]

    @cached_property
    def entry_tokens(self) -> Int64[Tensor, " active"]:
        """The encoded token of each entry of `feature_acts`."""
        return self.feature_acts.token_ids()

    @cached_property
    def entry_documents(self) -> Int64[Tensor, " active"]:
        """The document of each entry of `feature_acts`."""
        return self.document_ids[self.cells[self.entry_tokens] // self.ids.shape[1]]

    @cached_property
    def _entry_keys(self) -> Int64[Tensor, " active"]:
        # ascending, because entries are ordered by token and then by feature
        return self.entry_tokens * self.feature_acts.d_sae + self.feature_acts.feature_ids

    @cached_property
    def _token_of_cell(self) -> Int64[Tensor, " cells"]:
        tokens = torch.full((self.ids.numel(),), -1)
        tokens[self.cells] = torch.arange(self.n_tokens)
        return tokens

    def activations_at(
        self, cells: Int64[Tensor, "*places"], features: Int64[Tensor, "*places"]
    ) -> Float[Tensor, "*places"]:
        """Activation of a feature at each of some cells of `ids.flatten()`; 0 where it is not active."""
        tokens = self._token_of_cell[cells]
        if len(self._entry_keys) == 0:
            return torch.zeros(cells.shape)
        keys = tokens * self.feature_acts.d_sae + features
        places = torch.searchsorted(self._entry_keys, keys).clamp(max=len(self._entry_keys) - 1)
        is_active = (tokens >= 0) & (self._entry_keys[places] == keys)
        return torch.where(is_active, self.feature_acts.values[places], 0.0)


def encoded_batches(host: HostModel, sae: SAE, texts: Iterable[str], *, n_tokens: int) -> Iterator[EncodedBatch]:
    """Run documents through the host up to the dictionary's site and encode them.

    Args:
        host: The model.
        sae: The dictionary; it must know its site.
        texts: Documents, read until there are enough tokens; blank ones are left out.
        n_tokens: Tokens to encode, BOS not counted; the last document is cut to give exactly this many.

    Raises:
        ValueError: The dictionary does not know its site, or no document has any text.
    """
    if sae.site is None:
        raise ValueError("the SAE does not say its site, expected a hook_name such as blocks.3.hook_resid_post")
    n_done = 0
    with progress_counter(n_tokens, "encoding", unit="token") as bar:
        for documents in _batches(host, texts, n_tokens):
            batch = _encode(host, sae, sae.site, documents)
            n_done += batch.n_tokens
            bar.update(batch.n_tokens)
            yield batch
    if n_done == 0:
        raise ValueError("the corpus gave no token to look at, expected at least one document with text")


def _batches(host: HostModel, texts: Iterable[str], n_tokens: int) -> Iterator[list[Document]]:
    """Batches of documents of similar length, which hold the first `n_tokens` tokens besides BOS."""
    reader = DocumentReader(host, texts, context_tokens=min(host.context_length, LONGEST_DOCUMENT))
    while n_tokens > 0 and (documents := cut_to(reader.take(min(n_tokens, POOLED_TOKENS)), n_tokens)):
        n_tokens -= sum(document.n_tokens for document in documents)
        yield from batches_of_similar_length(documents, max_tokens=BATCH_TOKENS)


def _encode(host: HostModel, sae: SAE, site: Site, documents: list[Document]) -> EncodedBatch:
    batch = host.batch([document.ids for document in documents])
    x = host.capture(batch, [site])[site][batch.node_mask]
    return EncodedBatch(
        ids=batch.ids.cpu(),
        node_mask=batch.node_mask.cpu(),
        document_ids=torch.tensor([document.index for document in documents]),
        feature_acts=sae.encode_sparse(x.to(sae.device).float()).to("cpu"),
    )
