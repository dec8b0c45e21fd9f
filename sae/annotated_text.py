"""A text with what is known of its places: where concepts are said, and where an answer is due."""

from dataclasses import dataclass

__all__ = ["AnnotatedText", "AnswerPlace", "TextSpan"]


@dataclass(frozen=True)
class TextSpan:
    """Characters `start` to `end` (exclusive) that say `concept`."""

    start: int
    end: int
    concept: str


@dataclass(frozen=True)
class AnswerPlace:
    """A place where the text before asks and an answer follows.

    Attributes:
        prompt_end: `text[:prompt_end]` asks, without a trailing space.
        answer: The word that follows after one space.
    """

    prompt_end: int
    answer: str


@dataclass(frozen=True)
class AnnotatedText:
    """One document. A text that nothing is known of has neither concepts nor answers."""

    text: str
    concepts: tuple[TextSpan, ...] = ()
    answers: tuple[AnswerPlace, ...] = ()
