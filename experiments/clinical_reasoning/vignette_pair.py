"""Two vignettes that differ in one thing, with what is known of them."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from sae.annotated_text import TextSpan

__all__ = ["KINDS", "Kind", "PairSource", "VignettePair"]

Kind = Literal["finding", "denial", "negation", "history", "value", "demographic", "distractor", "exception"]
KINDS: tuple[Kind, ...] = (
    "finding",
    "denial",
    "negation",
    "history",
    "value",
    "demographic",
    "distractor",
    "exception",
)
"""What differs: a finding, a denied finding, whether a finding is asserted or denied, whose history it is, a measured
value, who the patient is, something that does not matter, a condition that changes the drug."""


@dataclass(frozen=True)
class VignettePair:
    """Two prompts of equal token length that end where one question is due.

    Attributes:
        kind: What differs.
        template: What both were rendered from; pairs of one template are not independent.
        prompt: Without a trailing space.
        changed_prompt: The same with one thing changed.
        answer: The right answer to `prompt`.
        changed_answer: The right answer to `changed_prompt`; equal to `answer` where the change must not matter.
        changed_from: Concept that only `prompt` has, such as `pos:fever`.
        changed_to: Concept that only `changed_prompt` has.
        spans: Concepts in `prompt`.
        changed_spans: Concepts in `changed_prompt`.
        decisive: Concepts of `prompt` without which its answer would be open or another.
        question: What is asked: `diagnosis` or `treatment`; of a user's own pairs anything.
    """

    kind: Kind
    template: str
    prompt: str
    changed_prompt: str
    answer: str
    changed_answer: str
    changed_from: str
    changed_to: str
    spans: tuple[TextSpan, ...] = ()
    changed_spans: tuple[TextSpan, ...] = ()
    decisive: tuple[str, ...] = ()
    question: str = "diagnosis"


@runtime_checkable
class PairSource(Protocol):
    """Where pairs come from: a generator, or a file."""

    def pairs(self, kind: Kind, *, seed: int) -> Iterator[VignettePair]:
        """Pairs of a kind, the same for the same seed; it may end, or hold none."""
