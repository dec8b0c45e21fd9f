"""Labelled documents as tokens: which of them lie in a mention of which concept."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import torch
from jaxtyping import Bool, Int64
from torch import Tensor

from sae.annotated_text import AnnotatedText, TextSpan
from sae.host.language_model import LanguageModel

__all__ = ["LabelledTokens", "is_in_split_b", "label_tokens"]


@dataclass(frozen=True, eq=False)
class LabelledTokens:
    """Documents from the shortest to the longest, and their tokens without BOS.

    A mention is a stretch of text that some concepts are marked on; what lies beyond the host's context is cut off.

    Attributes:
        rows: Token ids of each document as the host is fed them, BOS included.
        token_ids: The token at each place.
        documents: The document of each token.
        mention_tokens: Tokens of mentions, with repeats where mentions overlap.
        mention_ids: The mention of each of `mention_tokens`.
        mention_documents: The document of each mention.
        mention_concepts: Which concepts each mention expresses.
        concepts: Names, in order of the alphabet.
        in_split_b: Documents that scores are of; choices are made on the others.
    """

    rows: tuple[Int64[Tensor, " _"], ...]
    token_ids: Int64[Tensor, " tokens"]
    documents: Int64[Tensor, " tokens"]
    mention_tokens: Int64[Tensor, " members"]
    mention_ids: Int64[Tensor, " members"]
    mention_documents: Int64[Tensor, " mentions"]
    mention_concepts: Bool[Tensor, "mentions concepts"]
    concepts: tuple[str, ...]
    in_split_b: Bool[Tensor, " documents"]

    @property
    def n_tokens(self) -> int:
        """Tokens besides BOS."""
        return len(self.token_ids)

    @property
    def n_documents(self) -> int:
        """Number of documents."""
        return len(self.rows)

    def gold(self, mention_concepts: Bool[Tensor, "mentions concepts"]) -> Bool[Tensor, "tokens concepts"]:
        """Tokens that lie in a mention of a concept, if the mentions expressed these concepts."""
        n_mentions = torch.zeros(self.n_tokens, mention_concepts.shape[1], dtype=torch.int16)
        n_mentions.index_add_(0, self.mention_tokens, mention_concepts[self.mention_ids].to(torch.int16))
        return n_mentions > 0


def label_tokens(
    host: LanguageModel, documents: Sequence[AnnotatedText], *, concepts: Sequence[str] | None = None
) -> LabelledTokens:
    """Tokenise documents and carry their spans over from characters to tokens that overlap them.

    Args:
        host: Whose tokenizer to use; it must be a fast one, which knows where tokens lie in a text.
        documents: Blank ones are left out.
        concepts: The concepts to keep; all by default.

    Raises:
        ValueError: No document has text, or the tokenizer does not tell offsets.
    """
    told = [document for document in documents if document.text.strip()]
    if not told:
        raise ValueError("the labelled documents hold no text, expected at least one that is not blank")
    if not getattr(host.tokenizer, "is_fast", False):
        raise ValueError(f"the tokenizer of {host.name!r} does not tell where tokens lie in a text; use a fast one")
    names = tuple(sorted(concepts or {span.concept for document in told for span in document.concepts}))
    encoded = [_encoded(host, document) for document in told]
    order = sorted(range(len(told)), key=lambda index: len(encoded[index][0]))
    ids, offsets = [encoded[index][0] for index in order], [encoded[index][1] for index in order]
    return _collected(ids, offsets, [told[index] for index in order], names, host)


def is_in_split_b(text: str) -> bool:
    """Which half of the documents a text belongs to: by its hash, so that equal texts stay together."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[0] % 2 == 1


def _encoded(host: LanguageModel, document: AnnotatedText) -> tuple[list[int], list[tuple[int, int]]]:
    """Ids and offsets without special tokens, as many as the context holds beside BOS."""
    encoded = host.tokenizer(document.text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
    n = host.context_length - (host.tokenizer.bos_token_id is not None)
    return encoded["input_ids"][:n], encoded["offset_mapping"][:n]


def _collected(
    ids: list[list[int]],
    offsets: list[list[tuple[int, int]]],
    documents: list[AnnotatedText],
    names: tuple[str, ...],
    host: LanguageModel,
) -> LabelledTokens:
    lengths = torch.tensor([len(row) for row in ids])
    starts = (lengths.cumsum(0) - lengths).tolist()
    tokens: list[int] = []
    mention_ids: list[int] = []
    mention_documents: list[int] = []
    mention_names: list[set[str]] = []
    for index, document in enumerate(documents):
        for span, expressed in _mentions(document.concepts, names):
            inside = [i for i, (a, b) in enumerate(offsets[index]) if a < span[1] and b > span[0]]
            if not inside:
                continue
            tokens += [starts[index] + i for i in inside]
            mention_ids += [len(mention_names)] * len(inside)
            mention_documents.append(index)
            mention_names.append(expressed)
    bos = [] if host.tokenizer.bos_token_id is None else [host.tokenizer.bos_token_id]
    return LabelledTokens(
        rows=tuple(torch.tensor([*bos, *row]) for row in ids),
        token_ids=torch.tensor([token for row in ids for token in row]),
        documents=torch.arange(len(ids)).repeat_interleave(lengths),
        mention_tokens=torch.tensor(tokens, dtype=torch.long),
        mention_ids=torch.tensor(mention_ids, dtype=torch.long),
        mention_documents=torch.tensor(mention_documents, dtype=torch.long),
        mention_concepts=_indicator(mention_names, names),
        concepts=names,
        in_split_b=torch.tensor([is_in_split_b(document.text) for document in documents]),
    )


def _mentions(spans: Sequence[TextSpan], names: Sequence[str]) -> list[tuple[tuple[int, int], set[str]]]:
    """Each marked stretch with all concepts that are marked on it."""
    known = set(names)
    kept = sorted((span.start, span.end, span.concept) for span in spans if span.concept in known)
    return [(place, {name for *_, name in group}) for place, group in groupby(kept, key=lambda span: span[:2])]


def _indicator(mention_names: list[set[str]], names: tuple[str, ...]) -> Bool[Tensor, "mentions concepts"]:
    column = {name: index for index, name in enumerate(names)}
    table = torch.zeros(len(mention_names), len(names), dtype=torch.bool)
    for mention, expressed in enumerate(mention_names):
        table[mention, [column[name] for name in expressed]] = True
    return table
