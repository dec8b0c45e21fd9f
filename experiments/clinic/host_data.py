"""Token ids of generated documents, with their answers marked: made once, cached, and served in batches.

A row is ``tok(text)`` and EOS. Batches hold documents of similar length; they are a pure function of the seed
and the step, so the step alone says where an interrupted run continues.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import count
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Int
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from experiments.clinic.corpus import CHUNK_DOCUMENTS, document_chunk
from experiments.clinic.document import Document
from experiments.clinic.tokenizer import EOS_ID, PAD_ID
from sae.written_whole import written_whole

__all__ = ["Batch", "BatchStream", "TokenDataset", "answer_tokens", "load_or_build_dataset"]

BATCHES_PER_BUCKET = 40
"""So many batches are drawn at a time and sorted by length among themselves."""
EPOCHS_PER_SEED = 1_000_000
"""Epoch seeds of different seeds do not meet before this many epochs."""


class Batch(NamedTuple):
    """Documents, one a row, padded on the right."""

    ids: Int[Tensor, "batch seq"]
    is_answer: Bool[Tensor, "batch seq"]


@dataclass(frozen=True)
class TokenDataset:
    """Documents laid end to end: document i is ``ids[offsets[i]:offsets[i + 1]]``."""

    ids: Int[Tensor, " tokens"]
    is_answer: Bool[Tensor, " tokens"]
    """Which tokens are the answer of an `AnswerPoint`."""
    offsets: Int[Tensor, " documents_plus_1"]

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> Int[Tensor, " documents"]:
        """Tokens per document, BOS and EOS included."""
        return self.offsets.diff()

    def batch(self, documents: Int[Tensor, " batch"]) -> Batch:
        """The documents with these numbers, padded to the longest."""
        lengths = self.lengths[documents]
        columns = torch.arange(int(lengths.max()))
        is_real = columns < lengths[:, None]
        positions = torch.where(is_real, self.offsets[documents][:, None] + columns, 0)
        ids = torch.where(is_real, self.ids[positions].long(), PAD_ID)
        return Batch(ids, self.is_answer[positions] & is_real)

    @classmethod
    def concatenate(cls, datasets: Sequence["TokenDataset"]) -> "TokenDataset":
        """The documents of all, in order."""
        lengths = torch.cat([dataset.lengths for dataset in datasets])
        return cls(
            ids=torch.cat([dataset.ids for dataset in datasets]),
            is_answer=torch.cat([dataset.is_answer for dataset in datasets]),
            offsets=torch.cat([torch.zeros(1, dtype=torch.int64), lengths.cumsum(0)]),
        )

    @classmethod
    def encode(cls, documents: Sequence[Document], tokenizer: PreTrainedTokenizerFast) -> "TokenDataset":
        """Tokenise `documents` and find their answers by character offsets."""
        encoded = tokenizer([document.text for document in documents], return_offsets_mapping=True)
        ids = [[*row, EOS_ID] for row in encoded["input_ids"]]
        starts = np.cumsum([0, *map(len, ids)])
        is_answer = torch.zeros(int(starts[-1]), dtype=torch.bool)
        for document, start, characters in zip(documents, starts, encoded["offset_mapping"], strict=False):
            for answer in answer_tokens(document, characters):
                is_answer[start + answer.start : start + answer.stop] = True
        flat_ids = torch.tensor([token for row in ids for token in row], dtype=torch.int16)
        return cls(flat_ids, is_answer, torch.from_numpy(starts))

    @classmethod
    def load(cls, path: Path) -> "TokenDataset":
        """Read what `save` wrote."""
        with safe_open(path, framework="pt") as file:
            return cls(**{name: file.get_tensor(name) for name in ("ids", "is_answer", "offsets")})

    def save(self, path: Path, *, record: str) -> None:
        """Write to `path` at once or not at all; `record` says what it was made from."""
        tensors = {"ids": self.ids, "is_answer": self.is_answer, "offsets": self.offsets}
        with written_whole(path) as part:
            save_file(tensors, part, metadata={"record": record})


@dataclass(frozen=True)
class BatchStream:
    """Endless shuffled batches of a dataset, with a share of another one mixed in."""

    main: TokenDataset
    """Every epoch goes once through its documents."""
    side: TokenDataset | None
    """Documents of it are drawn at random for each epoch."""
    side_share: float
    """Share of `side` among the documents of an epoch, from 0 to below 1."""
    batch_size: int
    seed: int

    def batches(self, first_step: int = 0) -> Iterator[Batch]:
        """The batches of step `first_step` and all later ones.

        Raises:
            ValueError: If an epoch does not fill a single batch.
        """
        n_side = 0 if self.side is None else round(len(self.main) * self.side_share / (1 - self.side_share))
        per_epoch = (len(self.main) + n_side) // self.batch_size
        if per_epoch == 0:
            n_documents = len(self.main) + n_side
            raise ValueError(f"batch_size must be at most {n_documents}, all documents, got {self.batch_size}")
        dataset = self.main if self.side is None else TokenDataset.concatenate([self.main, self.side])
        first_epoch, skipped = divmod(first_step, per_epoch)
        for epoch in count(first_epoch):
            for documents in self._epoch(dataset.lengths, n_side, epoch)[skipped:]:
                yield dataset.batch(documents)
            skipped = 0

    def _epoch(self, lengths: Int[Tensor, " documents"], n_side: int, epoch: int) -> list[Int[Tensor, " batch"]]:
        """The document numbers of each batch: similar lengths within a batch, batches in random order."""
        generator = torch.Generator().manual_seed(self.seed * EPOCHS_PER_SEED + epoch)
        chosen = torch.arange(len(self.main))
        if n_side:
            side = torch.randint(len(self.main), len(lengths), (n_side,), generator=generator)
            chosen = torch.cat([chosen, side])
        chosen = chosen[torch.randperm(len(chosen), generator=generator)]
        batches: list[Tensor] = []
        for bucket in chosen.split(self.batch_size * BATCHES_PER_BUCKET):
            by_length = bucket[lengths[bucket].argsort(stable=True)]
            n_full = len(bucket) // self.batch_size
            batches.extend(by_length.split(self.batch_size)[:n_full])
        return [batches[number] for number in torch.randperm(len(batches), generator=generator).tolist()]


def answer_tokens(document: Document, characters: Sequence[tuple[int, int]]) -> list[range]:
    """The tokens of each answer of a document.

    Args:
        document: One text with its answer points.
        characters: Start and end of each token in the text, a tokenizer's ``offset_mapping``; a token
            includes the space before it, and special tokens are empty.

    Returns:
        Token numbers, per answer point.
    """
    starts = np.array([start for start, _ in characters])
    is_text = np.array([end > start for start, end in characters])
    ranges = []
    for point in document.answer_points:
        end = point.prompt_end + 1 + len(point.answer)
        tokens = np.flatnonzero(is_text & (starts >= point.prompt_end) & (starts < end))
        ranges.append(range(int(tokens[0]), int(tokens[-1]) + 1))
    return ranges


def load_or_build_dataset(
    path: Path, name: str, n_documents: int, tokenizer: PreTrainedTokenizerFast, *, seed: int, workers: int
) -> TokenDataset:
    """The first training documents of the corpus ``clinic:NAME``, read from `path` where it holds just these.

    Args:
        path: A safetensors file; written if it is missing or was made from something else.
        name: ``clinical`` or ``broad``.
        n_documents: How many; rounded up to whole chunks of `CHUNK_DOCUMENTS`.
        tokenizer: Of the host.
        seed: Of the corpus.
        workers: Processes that generate and tokenise; 1 does without.
    """
    record = _record(name, n_documents, tokenizer, seed)
    if path.exists() and _stored_record(path) == record:
        return TokenDataset.load(path)
    chunks = range(-(-n_documents // CHUNK_DOCUMENTS))
    encode = partial(_encode_chunk, name=name, tokenizer=tokenizer, seed=seed)
    if workers == 1:
        datasets = [encode(chunk) for chunk in chunks]
    else:
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
            datasets = list(pool.map(encode, chunks))
    dataset = TokenDataset.concatenate(datasets)
    dataset.save(path, record=record)
    return dataset


def _encode_chunk(chunk: int, *, name: str, tokenizer: PreTrainedTokenizerFast, seed: int) -> TokenDataset:
    """One chunk of a corpus as tokens; runs in a worker."""
    return TokenDataset.encode(document_chunk(name, chunk, seed=seed), tokenizer)


def _record(name: str, n_documents: int, tokenizer: PreTrainedTokenizerFast, seed: int) -> str:
    """What a dataset is made from; the first chunk stands for the generator, which may change."""
    texts = "\n".join(document.text for document in document_chunk(name, 0, seed=seed))
    content = texts + tokenizer.backend_tokenizer.to_str()
    sha256 = hashlib.sha256(content.encode("utf-8")).hexdigest()
    return json.dumps({"corpus": name, "documents": n_documents, "seed": seed, "sha256": sha256})


def _stored_record(path: Path) -> str:
    """The record of the dataset in `path`."""
    with safe_open(path, framework="pt") as file:
        return file.metadata()["record"]
