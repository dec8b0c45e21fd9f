"""Activations of a corpus at several sites, gathered in one pass through the host."""

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from tqdm import tqdm

from sae.activations.log_probs import next_token_log_probs
from sae.host.host import HostModel
from sae.host.prompts import prompt_ids
from sae.host.sites import Site
from sae.host.token_batch import TokenBatch

__all__ = ["NO_TOKEN", "Harvest", "harvest"]

logger = logging.getLogger(__name__)

NO_TOKEN = -1


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


def harvest(
    host: HostModel,
    texts: Iterable[str],
    sites: Sequence[Site],
    *,
    n_tokens: int,
    batch_documents: int = 128,
    importance: bool = False,
    dtype: torch.dtype = torch.float16,
) -> Harvest:
    """Run documents through the host, one per row, and keep their activations in memory.

    Args:
        host: The model.
        texts: Documents, read until there are enough tokens. One longer than the host's context is cut to it.
        sites: Where to read.
        n_tokens: Tokens to keep, BOS not counted; the last document is cut to give exactly this many.
        batch_documents: Documents per forward pass; those of a batch have similar lengths.
        importance: Also keep log-probabilities, for `importance_weights`.
        dtype: Precision of the kept activations.

    Returns:
        The activations on the CPU; fewer than `n_tokens` where the texts run out.

    Raises:
        ValueError: There is no text at all, or an activation is too large for `dtype`.
    """
    documents = _documents(host, texts, n_tokens)
    if not documents:
        raise ValueError("the corpus gave no token to harvest, expected at least one document with text")
    capacity = sum(len(ids) for ids in documents)
    activations = {site: torch.empty(capacity, host.d_model, dtype=dtype) for site in sites}
    columns: list[dict[str, Tensor]] = []
    filled = 0
    with tqdm(total=capacity, desc="harvesting", unit="token", unit_scale=True, delay=2, disable=None) as progress:
        for document_ids, batch in _batches(host, documents, batch_documents):
            captured, log_probs = _run(host, batch, sites, importance=importance)
            kept = int(batch.node_mask.sum())
            for site, store in activations.items():
                store[filled : filled + kept] = _stored(captured[site][batch.node_mask], dtype, site)
            columns.append(_columns(batch, document_ids, log_probs))
            filled += kept
            progress.update(int(batch.attention_mask.sum()))
    return Harvest(
        activations={site: store[:filled] for site, store in activations.items()},
        **{name: torch.cat([part[name] for part in columns]) for name in columns[0]},
    )


def _documents(host: HostModel, texts: Iterable[str], n_tokens: int) -> list[Int64[Tensor, " _"]]:
    """Token ids of the first documents that hold `n_tokens` tokens besides BOS."""
    documents: list[Tensor] = []
    missing = n_tokens
    for text in texts:
        if missing <= 0:
            break
        if not text.strip():
            continue
        ids = prompt_ids(host.tokenizer, text)[: host.context_length]
        n_bos = int(ids[0] == host.tokenizer.bos_token_id)
        ids = ids[: n_bos + missing]
        missing -= len(ids) - n_bos
        documents.append(torch.tensor(ids))
    if missing > 0:
        logger.warning("the corpus ended %d tokens short of %d", missing, n_tokens)
    return documents


def _batches(
    host: HostModel, documents: Sequence[Int64[Tensor, " _"]], batch_documents: int
) -> Iterator[tuple[Int64[Tensor, " batch"], TokenBatch]]:
    """Batches of documents of similar length, so that little is padding."""
    order = sorted(range(len(documents)), key=lambda index: len(documents[index]))
    for start in range(0, len(order), batch_documents):
        chosen = order[start : start + batch_documents]
        yield torch.tensor(chosen), host.batch([documents[index] for index in chosen])


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
