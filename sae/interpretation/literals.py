"""Literals: a few tokens in a row at, or shortly before, the token on which a feature fires."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Bool, Int64
from torch import Tensor

from sae.interpretation.encoded_text import EncodedText

__all__ = ["LONGEST_NGRAM", "LONGEST_OFFSET", "SCOPES", "Literal", "NgramIndex", "literal_text"]

LONGEST_NGRAM = 3
LONGEST_OFFSET = 5
SCOPES = (*((offset, offset) for offset in range(LONGEST_OFFSET + 1)), (0, LONGEST_OFFSET))
"""How many tokens the end of the n-gram stands before the firing one: exactly so many, or any number of them."""


@dataclass(frozen=True)
class Literal:
    """Holds at a token if an n-gram ends a given number of tokens before it, in the same document.

    Attributes:
        ngram: Token ids, one to `LONGEST_NGRAM`.
        nearest: Fewest tokens between the n-gram's last token and the one in question; 0 if they are the same.
        farthest: Most tokens between them.
    """

    ngram: tuple[int, ...]
    nearest: int
    farthest: int

    def holds(self, text: EncodedText) -> Bool[Tensor, " tokens"]:
        """Whether it holds at each token."""
        ends = torch.ones(len(text.token_ids), dtype=torch.bool)
        for back, token_id in enumerate(reversed(self.ngram)):
            ends &= _moved(text.token_ids == token_id, back)
        ends &= text.place_in_document >= len(self.ngram) - 1
        held = torch.zeros_like(ends)
        for offset in range(self.nearest, self.farthest + 1):
            held |= _moved(ends, offset) & (text.place_in_document >= offset)
        return held


class NgramIndex:
    """Every n-gram of a text by a number, and how often each stands at each offset before a token that counts.

    Args:
        text: The text.
        counted: The tokens that count.

    Attributes:
        counted: The same.
        n_counted: How many they are.
    """

    def __init__(self, text: EncodedText, counted: Bool[Tensor, " tokens"]) -> None:
        self._place = text.place_in_document
        self.counted = counted
        self.n_counted = int(counted.sum())
        self._ids = [text.token_ids.unique(return_inverse=True)[1]]
        for n in range(2, LONGEST_NGRAM + 1):
            self._ids.append(self._longer(n))
        self._totals = {
            (n, offset): torch.bincount(self._before(n, offset, counted.nonzero()[:, 0])[0], minlength=self.n_types(n))
            for n in range(1, LONGEST_NGRAM + 1)
            for offset in range(LONGEST_OFFSET + 1)
        }

    def n_types(self, n: int) -> int:
        """Number of different n-grams."""
        return int(self._ids[n - 1].max()) + 1

    @cached_property
    def bits(self) -> dict[int, float]:
        """What it takes to name an n-gram of each length and its scope, all equally likely."""
        return {n: math.log2(self.n_types(n) * len(SCOPES)) for n in range(1, LONGEST_NGRAM + 1)}

    def before(
        self, n: int, offset: int, tokens: Int64[Tensor, " firings"]
    ) -> tuple[Int64[Tensor, " types"], Int64[Tensor, " types"], Int64[Tensor, " types"]]:
        """The n-grams that end `offset` tokens before some counted tokens.

        Returns:
            Of each different one: where one of its occurrences ends, its number of occurrences before the given
            tokens, and its number before all counted tokens.
        """
        ids, ends = self._before(n, offset, tokens)
        types, inverse, counts = ids.unique(return_inverse=True, return_counts=True)
        example = torch.zeros(len(types), dtype=torch.long).scatter_(0, inverse, ends)
        return example, counts, self._totals[n, offset][types]

    def _before(
        self, n: int, offset: int, tokens: Int64[Tensor, " some"]
    ) -> tuple[Int64[Tensor, " within"], Int64[Tensor, " within"]]:
        """Number and end of the n-gram before each token that has so much of its document before it."""
        ends = tokens[self._place[tokens] >= offset + n - 1] - offset
        return self._ids[n - 1][ends], ends

    def _longer(self, n: int) -> Int64[Tensor, " tokens"]:
        """Numbers of the n-grams that end at each token, from those one token shorter; 0 is for too little text."""
        first = _moved(self._ids[n - 2], 1)
        keys = torch.where(self._place >= n - 1, first * self.n_types(1) + self._ids[0] + 1, 0)
        return keys.unique(return_inverse=True)[1]


def literal_text(literal: Literal, tokens: Mapping[int, str]) -> str:
    """The literal in words, such as `2 tokens after "denies"`."""
    quoted = '"' + "".join(tokens[token_id] for token_id in literal.ngram).strip() + '"'
    if literal.nearest != literal.farthest:
        return f"within {literal.farthest} tokens after {quoted}"
    if literal.nearest == 0:
        return f"on {quoted}"
    return f"{literal.nearest} token{'s' if literal.nearest > 1 else ''} after {quoted}"


def _moved(values: Tensor, by: int) -> Tensor:
    """Each token gets what stood `by` tokens before it; the first ones keep what is false or 0."""
    moved = torch.zeros_like(values)
    moved[by:] = values[: len(values) - by] if by else values
    return moved
