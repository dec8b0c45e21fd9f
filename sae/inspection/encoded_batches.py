"""A corpus run through the host and a dictionary, batch after batch; nothing of a batch is kept after the next."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import count, islice

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from tqdm import tqdm

from sae.dictionary.autoencoder import SAE
from sae.dictionary.feature_acts import FeatureActs
from sae.host.host import HostModel
from sae.host.prompts import prompt_ids
from sae.host.sites import Site

__all__ = ["EncodedBatch", "encoded_batches"]

LONGEST_DOCUMENT = 512
"""Documents are cut to this many tokens, BOS included, or to the host's context where that is shorter."""
POOLED_DOCUMENTS = 256
"""Documents that are sorted by length together, so that little of a batch is padding."""
BATCH_TOKENS = 8192

_Document = tuple[int, Int64[Tensor, " _"]]


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
    with tqdm(total=n_tokens, desc="encoding", unit="token", unit_scale=True, delay=2, disable=None) as progress:
        for documents in _batches(_documents(host, texts, n_tokens)):
            batch = _encode(host, sae, sae.site, documents)
            n_done += batch.n_tokens
            progress.update(batch.n_tokens)
            yield batch
    if n_done == 0:
        raise ValueError("the corpus gave no token to look at, expected at least one document with text")


def _documents(host: HostModel, texts: Iterable[str], n_tokens: int) -> Iterator[_Document]:
    """Token ids of the documents that hold the first `n_tokens` tokens besides BOS."""
    longest = min(host.context_length, LONGEST_DOCUMENT)
    missing = n_tokens
    numbers = count()
    for text in texts:
        if missing <= 0:
            return
        if not text.strip():
            continue
        ids = prompt_ids(host.tokenizer, text)[:longest]
        n_bos = int(ids[0] == host.tokenizer.bos_token_id)
        ids = ids[: n_bos + missing]
        missing -= len(ids) - n_bos
        if len(ids) > n_bos:
            yield next(numbers), torch.tensor(ids)


def _batches(documents: Iterator[_Document]) -> Iterator[list[_Document]]:
    """Batches of at most `BATCH_TOKENS` cells, of documents of similar length."""
    while pool := list(islice(documents, POOLED_DOCUMENTS)):
        batch: list[_Document] = []
        for document in sorted(pool, key=lambda document: len(document[1])):
            if batch and (len(batch) + 1) * len(document[1]) > BATCH_TOKENS:
                yield batch
                batch = []
            batch.append(document)
        yield batch


def _encode(host: HostModel, sae: SAE, site: Site, documents: list[_Document]) -> EncodedBatch:
    batch = host.batch([ids for _, ids in documents])
    x = host.capture(batch, [site])[site][batch.node_mask]
    return EncodedBatch(
        ids=batch.ids.cpu(),
        node_mask=batch.node_mask.cpu(),
        document_ids=torch.tensor([number for number, _ in documents]),
        feature_acts=sae.encode_sparse(x.to(sae.device).float()).to("cpu"),
    )
