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
    """One document; a text that nothing is known of has nothing but its text.

    Attributes:
        text: The text.
        concepts: Where it says which concept.
        answers: Where an answer is due.
        classes: What the whole of it belongs to.
    """

    text: str
    concepts: tuple[TextSpan, ...] = ()
    answers: tuple[AnswerPlace, ...] = ()
    classes: tuple[str, ...] = ()

    @property
    def targets(self) -> frozenset[str]:
        """What can be asked of the whole text: its classes, or where it has none the concepts that it says."""
        return frozenset(self.classes or (span.concept for span in self.concepts))
