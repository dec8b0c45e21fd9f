"""Cases that a model may get wrong: told in words that training hardly used, or with findings it never combined."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from experiments.clinic.cases import Case, sample_case
from experiments.clinic.phrasing import QUESTIONS, Phrasing, phrases, sample_phrasing
from experiments.clinic.vignettes import render

__all__ = ["POPULATIONS", "Mention", "ToldCase", "told_cases"]

POPULATIONS = {
    "unseen synonyms": {"synonyms": "unseen", "combinations": "seen"},
    "withheld combinations": {"synonyms": "seen", "combinations": "withheld"},
    "seen": {"synonyms": "seen", "combinations": "seen"},
}
"""How cases are drawn; `seen` is for comparison only."""


@dataclass(frozen=True)
class Mention:
    """A finding that is told in words.

    Attributes:
        concept: `pos:FINDING` or `neg:FINDING`.
        text: The words.
        start: First character, in the prompt.
        end: Behind the last.
    """

    concept: str
    text: str
    start: int
    end: int


@dataclass(frozen=True)
class ToldCase:
    """A case as a prompt that ends in the question for the diagnosis.

    Attributes:
        case: The facts.
        phrasing: The words.
        vignette: Without the question.
        mentions: The findings that it tells in words, in order.
    """

    case: Case
    phrasing: Phrasing
    vignette: str
    mentions: tuple[Mention, ...]

    @property
    def question(self) -> str:
        """What asks for the diagnosis."""
        return QUESTIONS["diagnosis"][self.phrasing.questions["diagnosis"]]

    @property
    def prompt(self) -> str:
        """Vignette and question, without a trailing space."""
        return self.vignette + self.question

    @property
    def template(self) -> str:
        """What it was rendered from; cases of one template are not independent."""
        phrasing = self.phrasing
        return f"{phrasing.style}.{phrasing.denial}.{phrasing.history}.{phrasing.questions['diagnosis']}"

    @property
    def in_seen_words(self) -> "ToldCase":
        """The same facts, every finding in the first phrase that vignettes use for it."""
        surfaces = {finding: phrases(finding, "seen")[0] for finding in self.phrasing.surfaces}
        return _told(self.case, replace(self.phrasing, surfaces=surfaces))


def told_cases(population: str, n: int, *, split: str, seed: int) -> list[ToldCase]:
    """Cases of a population; the same arguments give the same.

    Args:
        population: One of `POPULATIONS`.
        n: How many.
        split: Which phrasings: `validation` to choose on, `test` to report.
        seed: Of the draw.
    """
    options = POPULATIONS[population]
    rng = random.Random(f"told {population} {split} {seed}")
    return [
        _told(sample_case(rng, combinations=options["combinations"]), sample_phrasing(rng, split, options["synonyms"]))
        for _ in range(n)
    ]


def _told(case: Case, phrasing: Phrasing) -> ToldCase:
    document = render(case, phrasing)
    mentions = [
        Mention(span.concept, document.text[span.start : span.end], span.start, span.end)
        for span in document.spans
        if _is_finding(span.concept, case.values)
    ]
    return ToldCase(case, phrasing, document.text, tuple(mentions))


def _is_finding(concept: str, measured: Sequence[str] | dict[str, float]) -> bool:
    """Whether a concept is a finding that is told in words."""
    polarity, _, finding = concept.partition(":")
    return polarity in ("pos", "neg") and finding not in measured
