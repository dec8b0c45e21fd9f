"""The opening of a document, and the same with one word replaced by another of as many tokens."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from experiments.clinical_reasoning.word_frames import FramedWord, WordFrames, framed_words
from sae.host.prompts import prompt_ids, prompt_offsets

__all__ = ["Opening", "Swap", "opening_of", "swaps_of"]

CHARACTERS_PER_TOKEN = 16
"""No more of a document is tokenised than its first tokens can need."""


@dataclass(frozen=True, eq=False)
class Opening:
    """How a document begins.

    Attributes:
        text: As it is written.
        ids: Its tokens as the model is fed them.
        tokenizer: What made them of it.
    """

    text: str
    ids: Int[Tensor, " seq"]
    tokenizer: Any

    @classmethod
    def of(cls, tokenizer: Any, text: str) -> "Opening":
        """All of a text."""
        return cls(text, torch.tensor(prompt_ids(tokenizer, text)), tokenizer)

    @cached_property
    def ends(self) -> tuple[int, ...]:
        """The character after each token's last."""
        return tuple(end for _, end in prompt_offsets(self.tokenizer, self.text))


@dataclass(frozen=True, eq=False)
class Swap:
    """A word that gives way to another.

    Attributes:
        word: Where it stands.
        substitute: What takes its place.
        changed: The opening with it, of as many tokens.
        first: The first token that differs.
        last: The last one.
    """

    word: FramedWord
    substitute: str
    changed: Opening
    first: int
    last: int


def opening_of(tokenizer: Any, text: str, *, n_tokens: int) -> Opening | None:
    """The first tokens of a document, BOS included; None where it has none."""
    text = text[: CHARACTERS_PER_TOKEN * n_tokens]
    if not text.strip():
        return None
    _, end = prompt_offsets(tokenizer, text)[:n_tokens][-1]
    # Cut where a token ends, a text may tokenise otherwise: what counts are the tokens of what is left.
    return Opening.of(tokenizer, text[:end]) if text[:end].strip() else None


def swaps_of(tokenizer: Any, opening: Opening, frames: WordFrames, *, n_substitutes: int) -> Iterator[Swap]:
    """The swaps that keep all other tokens, and their number, as they are."""
    for word in framed_words(opening.text):
        for substitute in frames.substitutes(word, n_substitutes):
            changed = Opening.of(tokenizer, opening.text[: word.start] + substitute + opening.text[word.end :])
            if len(changed.ids) != len(opening.ids):
                continue
            differing = (changed.ids != opening.ids).nonzero()[:, 0]
            first, last = int(differing[0]), int(differing[-1])
            if opening.ends[first - 1] <= word.start and opening.ends[last] <= word.end:
                yield Swap(word, substitute, changed, first, last)
