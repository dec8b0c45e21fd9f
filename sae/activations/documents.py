"""A corpus as documents of token ids: read only as far as asked, and grouped so that little is padding."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import torch
from jaxtyping import Int64
from torch import Tensor

from sae.host.language_model import LanguageModel
from sae.host.prompts import prompt_ids

__all__ = ["Document", "DocumentReader", "batches_of_similar_length", "cut_to"]


@dataclass(frozen=True, eq=False)
class Document:
    """One text as the host is fed it.

    Attributes:
        index: Its number among the texts that are not blank.
        ids: Token ids, BOS included where the tokenizer has one.
        n_tokens: Tokens besides BOS.
    """

    index: int
    ids: Int64[Tensor, " _"]
    n_tokens: int


class DocumentReader:
    """Reads documents off a corpus, front to back.

    Args:
        host: Whose tokenizer to use.
        texts: The corpus from its beginning, with or without end. Blank texts are skipped.
        context_tokens: Most tokens of a document, BOS included; what is beyond is not read.

    Attributes:
        n_read: Texts read so far, blank ones included: from there another reader can go on.
        digest: SHA-256, in hexadecimal, that stands for all texts read so far, in their order.
    """

    def __init__(self, host: LanguageModel, texts: Iterable[str], *, context_tokens: int) -> None:
        self._tokenizer = host.tokenizer
        self._context_tokens = context_tokens
        self._texts = iter(texts)
        self._held_out: set[bytes] = set()
        self._n_documents = 0
        self.n_read = 0
        self.digest = ""

    def take(self, n_tokens: int, *, hold_out: bool = False) -> list[Document]:
        """The next documents, until they hold `n_tokens` tokens or the corpus ends.

        Args:
            n_tokens: Tokens wanted, BOS not counted; the last document may hold more.
            hold_out: Never give a document with the text of one of these again.
        """
        documents: list[Document] = []
        missing = n_tokens
        while missing > 0 and (text := self._next_text(hold_out)) is not None:
            document = self._document(text)
            documents.append(document)
            missing -= document.n_tokens
        return documents

    def skip(self, n_texts: int, *, hold_out: bool = False) -> None:
        """Pass over the next texts as `take` would, without tokenising them."""
        end = self.n_read + n_texts
        while self.n_read < end and self._next_text(hold_out, end=end) is not None:
            pass

    def catch_up(self, n_texts: int, n_held_out_texts: int, digest: str) -> None:
        """Go to where another reader was.

        Args:
            n_texts: Its `n_read`.
            n_held_out_texts: How many of the first texts it held out.
            digest: Its `digest`.

        Raises:
            ValueError: This corpus does not begin with the same texts.
        """
        self.skip(n_held_out_texts, hold_out=True)
        self.skip(n_texts - n_held_out_texts)
        if self.digest != digest:
            raise ValueError(
                f"the first {n_texts} texts of the corpus are not those that were read before the interruption; "
                "give the same corpus to continue, or begin anew elsewhere"
            )

    def _next_text(self, hold_out: bool, *, end: int | None = None) -> str | None:
        """The next text that is not blank and not held out."""
        for text in islice(self._texts, None if end is None else end - self.n_read):
            self.n_read += 1
            if not text.strip():
                continue
            self._n_documents += 1
            key = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
            self.digest = hashlib.sha256(self.digest.encode() + key).hexdigest()
            if hold_out:
                self._held_out.add(key)
                return text
            if key not in self._held_out:
                return text
        return None

    def _document(self, text: str) -> Document:
        ids = prompt_ids(self._tokenizer, text)[: self._context_tokens]
        has_bos = ids[0] == self._tokenizer.bos_token_id
        return Document(self._n_documents - 1, torch.tensor(ids), len(ids) - has_bos)


def cut_to(documents: Sequence[Document], n_tokens: int) -> list[Document]:
    """The first documents, the last of them shortened so that they hold at most `n_tokens` tokens besides BOS."""
    kept: list[Document] = []
    for document in documents:
        if n_tokens <= 0:
            break
        excess = max(0, document.n_tokens - n_tokens)
        ids = document.ids[: len(document.ids) - excess]
        kept.append(replace(document, ids=ids, n_tokens=document.n_tokens - excess))
        n_tokens -= document.n_tokens
    return kept


def batches_of_similar_length(
    documents: Sequence[Document], *, max_documents: int | None = None, max_tokens: int | None = None
) -> Iterator[list[Document]]:
    """The documents from the shortest to the longest, a batch at a time.

    Args:
        documents: In any order; equal lengths keep theirs.
        max_documents: Most documents of a batch.
        max_tokens: Most tokens of a batch, padding included; a longer document is a batch by itself.
    """
    batch: list[Document] = []
    for document in sorted(documents, key=lambda document: len(document.ids)):
        too_many = max_documents is not None and len(batch) == max_documents
        too_long = max_tokens is not None and (len(batch) + 1) * len(document.ids) > max_tokens
        if batch and (too_many or too_long):
            yield batch
            batch = []
        batch.append(document)
    if batch:
        yield batch
