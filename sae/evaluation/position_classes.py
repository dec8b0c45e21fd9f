"""Held-out documents as an evaluation reads them: token ids, and what kind of place each token is.

An average over all tokens hides where a dictionary fails, so every number is also given for the places where an answer
is predicted, for the tokens that say a concept, and for the others.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Int64
from torch import Tensor

from sae.annotated_text import AnnotatedText
from sae.host.language_model import LanguageModel

__all__ = ["CLASSES", "EXCLUDED", "EvaluationDocument", "read_evaluation_documents"]

CLASSES = ("answer", "concept", "other")
"""Every evaluated token is of one of them, the first that fits."""
ANSWER, CONCEPT, OTHER = range(3)
EXCLUDED = -1
"""BOS, other special tokens and padding: neither spliced nor counted."""
MOST_REPEATS = 2000
"""After so many known texts in a row a stream is taken to have no others."""


@dataclass(frozen=True, eq=False)
class EvaluationDocument:
    """One text, the unit that intervals are over.

    Attributes:
        ids: Token ids, BOS included.
        classes: Index into `CLASSES` of each token, or `EXCLUDED`.
    """

    ids: Int64[Tensor, " seq"]
    classes: Int64[Tensor, " seq"]

    @property
    def n_tokens(self) -> int:
        """Tokens that are evaluated."""
        return int((self.classes != EXCLUDED).sum())

    def cut(self, n_tokens: int) -> "EvaluationDocument":
        """The beginning with at most so many evaluated tokens."""
        n_before = (self.classes != EXCLUDED).cumsum(0)
        length = int((n_before <= n_tokens).sum())
        return EvaluationDocument(self.ids[:length], self.classes[:length])


def read_evaluation_documents(
    host: LanguageModel, texts: Iterable[AnnotatedText], *, n_tokens: int, context_tokens: int
) -> list[EvaluationDocument]:
    """The first documents that hold `n_tokens` tokens, or all there are; a text counts once.

    Equal texts would be one unit counted several times, and the intervals too narrow.

    Args:
        host: Whose tokenizer to use.
        texts: Documents, without end or with one; blank ones are left out.
        n_tokens: Tokens wanted, special ones not counted; the last document is cut to give exactly this many.
        context_tokens: Most tokens of a document, BOS included; what is beyond is not read.

    Raises:
        ValueError: No document has any text.
    """
    documents: list[EvaluationDocument] = []
    missing = n_tokens
    for text in _distinct(texts):
        if missing <= 0:
            break
        document = _classified(host.tokenizer, text, context_tokens).cut(missing)
        if document.n_tokens:
            documents.append(document)
            missing -= document.n_tokens
    if not documents:
        raise ValueError("the corpus gave no token to evaluate, expected at least one document with text")
    return documents


def _distinct(texts: Iterable[AnnotatedText]) -> Iterator[AnnotatedText]:
    """Texts that are not blank and were not given before."""
    seen: set[str] = set()
    n_repeats = 0
    for text in texts:
        if not text.text.strip():
            continue
        if text.text not in seen:
            seen.add(text.text)
            n_repeats = 0
            yield text
        elif (n_repeats := n_repeats + 1) == MOST_REPEATS:
            return


def _classified(tokenizer: Any, text: AnnotatedText, context_tokens: int) -> EvaluationDocument:
    ids, offsets = _with_offsets(tokenizer, text)
    special = set(tokenizer.all_special_ids) - {tokenizer.unk_token_id}
    classes = torch.full((len(ids),), OTHER)
    for span in text.concepts:
        classes[[i for i, (start, end) in enumerate(offsets) if start < span.end and end > span.start]] = CONCEPT
    for place in text.answers:
        asking = [i for i, (start, end) in enumerate(offsets) if start < end <= place.prompt_end]
        if asking:
            classes[asking[-1]] = ANSWER
    classes[[i for i, token in enumerate(ids) if token in special]] = EXCLUDED
    return EvaluationDocument(torch.tensor(ids[:context_tokens]), classes[:context_tokens])


def _with_offsets(tokenizer: Any, text: AnnotatedText) -> tuple[list[int], list[tuple[int, int]]]:
    """Token ids with BOS in front, and the characters that each stands for; (0, 0) where it stands for none.

    A tokenizer that cannot say where its tokens lie will do for texts of which nothing is known.
    """
    encoded = tokenizer(text.text, return_offsets_mapping=tokenizer.is_fast, verbose=False)
    ids = list(encoded["input_ids"])
    offsets = [tuple(pair) for pair in encoded["offset_mapping"]] if tokenizer.is_fast else [(0, 0)] * len(ids)
    if (text.concepts or text.answers) and not tokenizer.is_fast:
        raise ValueError("the tokenizer does not say where its tokens lie, expected a fast one for an annotated corpus")
    bos = tokenizer.bos_token_id
    if bos is not None and ids[:1] != [bos]:
        return [bos, *ids], [(0, 0), *offsets]
    return ids, offsets
