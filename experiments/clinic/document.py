"""A generated text that knows what it says: spans of concepts and the points where an answer is due.

Every generator of this package returns `Document`s; labels, test cases and training weights are read off them.
"""

from dataclasses import dataclass, field

__all__ = ["AnswerPoint", "Document", "DocumentBuilder", "Span"]


@dataclass(frozen=True)
class Span:
    """Characters `start` to `end` (exclusive) express `concept`, for example ``pos:fever`` or ``dx:gout``."""

    start: int
    end: int
    concept: str


@dataclass(frozen=True)
class AnswerPoint:
    """A place where the text up to `prompt_end` asks a question and ` answer` follows."""

    prompt_end: int
    """Character offset: `text[:prompt_end]` is the prompt, without a trailing space."""
    kind: str
    """``diagnosis``, ``treatment``, ``test``, ``system``, ``choice`` or ``fact``."""
    answer: str
    """The word that follows after one space."""
    revealed: bool = False
    """Whether the text before already gives the answer away (a diagnosis asked after its treatment)."""


@dataclass(frozen=True)
class Document:
    """One text with its ground truth."""

    text: str
    kind: str
    """``vignette``, ``reasoning``, ``qa``, ``choice``, ``glossary`` or ``broad``."""
    spans: tuple[Span, ...] = ()
    answer_points: tuple[AnswerPoint, ...] = ()


@dataclass
class DocumentBuilder:
    """Writes a text from left to right and records what each piece means."""

    text: str = ""
    spans: list[Span] = field(default_factory=list)
    answer_points: list[AnswerPoint] = field(default_factory=list)

    def add(self, piece: str, concept: str | None = None) -> "DocumentBuilder":
        """Append `piece`; with `concept`, record the span that it fills."""
        if concept is not None:
            self.spans.append(Span(len(self.text), len(self.text) + len(piece), concept))
        self.text += piece
        return self

    def answer(self, kind: str, answer: str, concept: str, *, revealed: bool = False) -> "DocumentBuilder":
        """Append a space and `answer`, and record that the text before it asked for it."""
        self.answer_points.append(AnswerPoint(len(self.text), kind, answer, revealed))
        return self.add(" ").add(answer, concept)

    def build(self, kind: str) -> Document:
        """The finished document."""
        return Document(self.text, kind, tuple(self.spans), tuple(self.answer_points))
