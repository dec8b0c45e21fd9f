"""Which tokens of a text express which concept."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import scipy.sparse as sparse
import torch
from jaxtyping import Bool, Int64
from torch import Tensor

from sae.annotated_text import TextSpan
from sae.interpretation.encoded_text import EncodedText

__all__ = ["ConceptRule", "ConceptText", "place_mentions"]


@dataclass(frozen=True, eq=False)
class ConceptText:
    """The mentions of concepts in an encoded text, as pairs of a token and a concept.

    Attributes:
        concepts: Names of the concepts, each once, sorted.
        names: What a person calls each of them.
        tokens: The token of each pair.
        columns: The concept of each pair, its place in `concepts`.
    """

    concepts: tuple[str, ...]
    names: dict[str, str]
    tokens: Int64[Tensor, " pairs"]
    columns: Int64[Tensor, " pairs"]

    @cached_property
    def column_of(self) -> dict[str, int]:
        """The place of each concept in `concepts`."""
        return {concept: column for column, concept in enumerate(self.concepts)}

    def expressed(self, concept: str, n_tokens: int) -> Bool[Tensor, " tokens"]:
        """Whether each of the text's tokens is of a mention of the concept."""
        held = torch.zeros(n_tokens, dtype=torch.bool)
        held[self.tokens[self.columns == self.column_of[concept]]] = True
        return held

    def units(self, unit_of_token: Int64[Tensor, " tokens"], n_units: int) -> sparse.csr_array:
        """1 where a unit of tokens, such as a window, holds a mention of a concept; units by concepts."""
        return unit_matrix(unit_of_token[self.tokens], self.columns, (n_units, len(self.concepts)))


@dataclass(frozen=True, eq=False)
class ConceptRule:
    """Predicts that a feature fires wherever a concept is mentioned."""

    concept: str
    mentions: ConceptText

    def fires(self, text: EncodedText) -> Bool[Tensor, " tokens"]:
        """Whether it says so at each token of the text that `mentions` is of."""
        return self.mentions.expressed(self.concept, len(text.token_ids))


def unit_matrix(
    units: Int64[Tensor, " entries"], columns: Int64[Tensor, " entries"], shape: tuple[int, int]
) -> sparse.csr_array:
    """1 at every given place, once however often it is given."""
    matrix = sparse.coo_array((np.ones(len(units)), (units.numpy(), columns.numpy())), shape=shape).tocsr()
    matrix.data[:] = 1
    return matrix


def place_mentions(
    text: EncodedText, mentions: Sequence[Iterable[TextSpan]], tokenizer: Any, *, names: dict[str, str] | None = None
) -> ConceptText:
    """Carry mentions over from characters to tokens.

    Args:
        text: The documents.
        mentions: What each of them expresses.
        tokenizer: Whose tokens they are.
        names: What a person calls the concepts; their own names where it says nothing.

    Raises:
        ValueError: The tokenizer does not say which characters a token stands for.
    """
    if not getattr(tokenizer, "is_fast", False):
        raise ValueError("the tokenizer does not say which characters a token stands for; give the model a fast one")
    offsets = tokenizer(list(text.texts), add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
    starts, lengths = text.document_offsets.tolist(), text.document_offsets.diff().tolist()
    pairs = [
        (start + place, mention.concept)
        for document, start, length, found in zip(offsets, starts, lengths, mentions, strict=False)
        for mention in found
        for place in _overlapping(document[:length], mention)
    ]
    concepts = tuple(sorted({concept for _, concept in pairs}))
    column = {concept: place for place, concept in enumerate(concepts)}
    return ConceptText(
        concepts=concepts,
        names={concept: (names or {}).get(concept, concept) for concept in concepts},
        tokens=torch.tensor([token for token, _ in pairs], dtype=torch.long),
        columns=torch.tensor([column[concept] for _, concept in pairs], dtype=torch.long),
    )


def _overlapping(offsets: Sequence[tuple[int, int]], mention: TextSpan) -> list[int]:
    """The tokens that share a character with a mention."""
    return [place for place, (start, end) in enumerate(offsets) if start < mention.end and end > mention.start]
