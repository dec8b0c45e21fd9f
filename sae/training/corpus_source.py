"""Tokens of a corpus to train on, and the documents on which the finished dictionaries are judged."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

import torch
from jaxtyping import Int64
from torch import Tensor

from sae.activations.harvest import Harvest, harvest
from sae.activations.importance import importance_weights
from sae.activations.live_source import LiveSource
from sae.activations.store.source import StoreSource
from sae.activations.store.store import ActivationStore
from sae.corpora import read_corpus
from sae.host.host import HostModel
from sae.host.prompts import prompt_ids
from sae.host.sites import Site
from sae.training.document_source import DocumentSource
from sae.training.memory_source import MemorySource
from sae.training.token_source import TokenSource

__all__ = ["Corpus", "corpus_source", "document_source", "live_source", "stored_source"]

HELD_OUT_SHARE = 0.1
MIN_HELD_OUT_TOKENS = 512
N_LOSS_DOCUMENTS = 100


@dataclass(frozen=True, eq=False)
class Corpus:
    """Where tokens come from, and on which documents the finished dictionaries are judged.

    Attributes:
        name: Of the text, for the record: its SPEC.
        source: Tokens to train on and held-out tokens.
        documents: Held-out documents as the host is fed them, BOS included.
    """

    name: str
    source: TokenSource
    documents: Sequence[Int64[Tensor, " _"]]


def corpus_source(
    host: HostModel,
    spec: str,
    sites: Sequence[Site],
    *,
    n_tokens: int,
    importance: bool = True,
    seed: int = 0,
) -> Corpus:
    """Harvest a corpus into memory: the first documents are held out, the next ones trained on.

    Args:
        host: The model whose activations are decomposed.
        spec: Corpus SPEC, such as `clinic:clinical` or a path.
        sites: Where.
        n_tokens: Training tokens to keep; a store holds more than memory does.
        importance: Whether tokens are drawn by label-free importance instead of uniformly.
        seed: Of the corpus and of the draws.

    Raises:
        ValueError: The corpus cannot be read, or is too small to hold tokens back.
    """
    texts = read_corpus(spec, seed=seed)
    n_held_out = min(n_tokens, max(MIN_HELD_OUT_TOKENS, int(n_tokens * HELD_OUT_SHARE)))
    held_out = harvest(host, texts, sites, n_tokens=n_held_out)
    first = next((text for text in texts if text.strip()), None)
    if first is None:
        raise ValueError(f"corpus {spec} has no text beside the {n_held_out} tokens held out; give more text")
    train_tokens = harvest(host, chain([first], texts), sites, n_tokens=n_tokens, importance=importance)
    weights = importance_weights(train_tokens) if importance else None
    source = MemorySource(train_tokens.activations, held_out.activations, weights=weights, seed=seed)
    return Corpus(spec, source, _documents(host, held_out))


def live_source(host: HostModel, spec: str, sites: Sequence[Site], *, seed: int = 0) -> Corpus:
    """Activations of a corpus made as training needs them, never stored; every token counts alike.

    Args:
        host: The model.
        spec: Corpus SPEC.
        sites: Where.
        seed: Of the corpus and of the draws.

    Raises:
        ValueError: The corpus cannot be read, or is too small to hold tokens back.
    """
    source = LiveSource(host, lambda: read_corpus(spec, seed=seed), sites, corpus=spec, seed=seed)
    texts = (text for text in read_corpus(spec, seed=seed) if text.strip())
    return Corpus(spec, source, _tokenised(host, texts, MIN_HELD_OUT_TOKENS))


def stored_source(
    host: HostModel, store: ActivationStore, sites: Sequence[Site], *, importance: bool = True, seed: int = 0
) -> Corpus:
    """The tokens of an activation store.

    Args:
        host: The model that the store is from.
        store: A complete store.
        sites: Some of the store's.
        importance: Whether tokens are drawn by the store's weights, where it has them.
        seed: Of the draws.

    Raises:
        ValueError: The store is not complete, was made with another host, or lacks a site.
    """
    store.check_host(host)
    source = StoreSource(store, sites=sites, use_weights=importance, seed=seed)
    return Corpus(store.configuration.corpus, source, store.held_out_documents())


def document_source(host: HostModel, spec: str, sites: Sequence[Site], *, n_tokens: int, seed: int = 0) -> Corpus:
    """Whole documents of a corpus, for training with the KL: only their ids are kept.

    Args:
        host: The model.
        spec: Corpus SPEC.
        sites: Where.
        n_tokens: Distinct tokens to train on, at least.
        seed: Of the corpus and of the draws.

    Raises:
        ValueError: The corpus cannot be read, or is too small to hold documents back.
    """
    texts = (text for text in read_corpus(spec, seed=seed) if text.strip())
    n_held_out = min(n_tokens, max(MIN_HELD_OUT_TOKENS, int(n_tokens * HELD_OUT_SHARE)))
    held_out = _tokenised(host, texts, n_held_out)
    source = DocumentSource(host, _tokenised(host, texts, n_tokens), held_out, sites, seed=seed)
    return Corpus(spec, source, held_out)


def _documents(host: HostModel, harvested: Harvest) -> list[Int64[Tensor, " _"]]:
    """The documents of a harvest as rows to run, BOS in front."""
    bos = torch.tensor([host.tokenizer.bos_token_id])
    ids = harvested.document_ids.unique()[:N_LOSS_DOCUMENTS]
    return [torch.cat([bos, harvested.token_ids[harvested.document_ids == i]]) for i in ids]


def _tokenised(host: HostModel, texts: Iterator[str], n_tokens: int) -> list[Int64[Tensor, " _"]]:
    """The next texts as the host is fed them, until they have `n_tokens` tokens."""
    documents: list[Tensor] = []
    while sum(map(len, documents)) < n_tokens and (text := next(texts, None)) is not None:
        documents.append(torch.tensor(prompt_ids(host.tokenizer, text)[: host.context_length]))
    return documents
