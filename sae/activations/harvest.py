"""Activations of a corpus at several sites, gathered in one pass through the host."""

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from sae.activations.documents import Document, DocumentReader, batches_of_similar_length, cut_to
from sae.activations.log_probs import next_token_log_probs
from sae.host.host import HostModel
from sae.host.sites import Site
from sae.host.token_batch import TokenBatch
from sae.progress import progress_counter

__all__ = ["COLUMNS", "NO_TOKEN", "Harvest", "harvest", "harvest_batches"]

logger = logging.getLogger(__name__)

NO_TOKEN = -1
COLUMNS = ("token_ids", "next_ids", "document_ids", "positions", "log_probs", "next_log_probs")
"""What a harvest knows of each token besides its activations."""


@dataclass(frozen=True, eq=False)
class Harvest:
    """What was gathered: one row per token, BOS left out, the tokens of a document together and in order.

    Documents themselves are ordered by length, not as they came.

    Attributes:
        activations: By site.
        token_ids: The token at each row.
        next_ids: The token after it, or `NO_TOKEN` at the end of a document.
        document_ids: Which of the texts the row is from.
        positions: Position in the document as it was fed; BOS is at 0.
        log_probs: Log-probability (nats) of the token given those before it, if asked for.
        next_log_probs: The same of the next token; 0 where there is none.
    """

    activations: dict[Site, Float[Tensor, "tokens d_model"]]
    token_ids: Int64[Tensor, " tokens"]
    next_ids: Int64[Tensor, " tokens"]
    document_ids: Int64[Tensor, " tokens"]
    positions: Int64[Tensor, " tokens"]
    log_probs: Float[Tensor, " tokens"] | None = None
    next_log_probs: Float[Tensor, " tokens"] | None = None

    @property
    def n_tokens(self) -> int:
        """Number of tokens."""
        return len(self.token_ids)

    @property
    def columns(self) -> dict[str, Tensor]:
        """What is known of each token besides its activations, by the name of the attribute."""
        return {name: column for name in COLUMNS if (column := getattr(self, name)) is not None}


def harvest(
    host: HostModel,
    texts: Iterable[str],
    sites: Sequence[Site],
    *,
    n_tokens: int,
    context_tokens: int | None = None,
    batch_documents: int = 128,
    importance: bool = False,
    dtype: torch.dtype = torch.float16,
) -> Harvest:
    """Run documents through the host, one per row, and keep their activations in memory.

    Args:
        host: The model.
        texts: Documents, read until there are enough tokens. One longer than the context is cut to it.
        sites: Where to read.
        n_tokens: Tokens to keep, BOS not counted; the last document is cut to give exactly this many.
        context_tokens: Most tokens of a document, BOS included; None reads as much as the host can.
        batch_documents: Documents per forward pass; those of a batch have similar lengths.
        importance: Also keep log-probabilities, for `importance_weights`.
        dtype: Precision of the kept activations.

    Returns:
        The activations on the CPU; fewer than `n_tokens` where the texts run out.

    Raises:
        ValueError: There is no text at all, or an activation is too large for `dtype`.
    """
    reader = DocumentReader(host, texts, context_tokens=context_tokens or host.context_length)
    documents = cut_to(reader.take(n_tokens), n_tokens)
    if not documents:
        raise ValueError("the corpus gave no token to harvest, expected at least one document with text")
    capacity = sum(len(document.ids) for document in documents)
    found = sum(document.n_tokens for document in documents)
    if found < n_tokens:
        logger.warning("the corpus ended %d tokens short of %d", n_tokens - found, n_tokens)
    activations = {site: torch.empty(capacity, host.d_model, dtype=dtype) for site in sites}
    columns: list[dict[str, Tensor]] = []
    filled = 0
    with progress_counter(found, "harvesting", unit="token") as bar:
        batches = batches_of_similar_length(documents, max_documents=batch_documents)
        for part in harvest_batches(host, batches, sites, importance=importance):
            for site, store in activations.items():
                store[filled : filled + part.n_tokens] = _stored(part.activations[site], dtype, site)
            columns.append(part.columns)
            filled += part.n_tokens
            bar.update(part.n_tokens)
    return Harvest(
        activations={site: store[:filled] for site, store in activations.items()},
        **{name: torch.cat([part[name] for part in columns]) for name in columns[0]},
    )


def harvest_batches(
    host: HostModel, batches: Iterable[Sequence[Document]], sites: Sequence[Site], *, importance: bool = False
) -> Iterator[Harvest]:
    """Run batches of documents and give what each of them yields.

    Args:
        host: The model; layers after the last of `sites` do not run, unless `importance` needs the logits.
        batches: Documents that go through the host together.
        sites: Where to read.
        importance: Also give log-probabilities.

    Yields:
        The tokens of one batch, activations still in the precision and on the device of the host.
    """
    for documents in batches:
        batch = host.batch([document.ids for document in documents])
        captured, log_probs = _run(host, batch, sites, importance=importance)
        indices = torch.tensor([document.index for document in documents])
        activations = {site: captured[site][batch.node_mask] for site in sites}
        yield Harvest(activations, **_columns(batch, indices, log_probs))


def _run(
    host: HostModel, batch: TokenBatch, sites: Sequence[Site], *, importance: bool
) -> tuple[dict[Site, Tensor], Tensor | None]:
    """Activations, and the log-probabilities of next tokens if they are wanted."""
    if not importance:
        return host.capture(batch, sites), None
    result = host.forward(batch, capture=sites)
    return result.activations, next_token_log_probs(result.logits, batch)


def _stored(rows: Float[Tensor, "tokens d_model"], dtype: torch.dtype, site: Site) -> Tensor:
    # written so that NaN is refused too
    if not bool(rows.abs().amax() <= torch.finfo(dtype).max):
        raise ValueError(f"an activation at {site} does not fit into {dtype}; harvest in bfloat16 or float32")
    return rows.to("cpu", dtype)


def _columns(batch: TokenBatch, document_ids: Int64[Tensor, " batch"], log_probs: Tensor | None) -> dict[str, Tensor]:
    """What is known of each kept token besides its activations."""
    ids, mask = batch.ids.cpu(), batch.node_mask.cpu()
    next_ids = torch.full_like(ids, NO_TOKEN)
    next_ids[:, :-1] = ids[:, 1:]
    columns = {
        "token_ids": ids[mask],
        "next_ids": next_ids[mask],
        "document_ids": document_ids[:, None].expand_as(ids)[mask],
        "positions": batch.position_ids.cpu()[mask],
    }
    if log_probs is not None:
        log_probs = log_probs.cpu()
        columns["log_probs"] = log_probs.roll(1, dims=1)[mask]
        columns["next_log_probs"] = log_probs[mask]
    return columns
