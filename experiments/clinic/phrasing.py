"""How a case is put into words: every choice of wording, and the split that owns a combination of choices.

Each fragment occurs in training; a test text is new by its combination of style, denial, history, questions.
"""

import random
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache

from experiments.clinic.knowledge import FINDINGS

__all__ = [
    "DENIALS",
    "FAMILIES",
    "HISTORIES",
    "MEASUREMENTS",
    "MODIFIERS",
    "QUESTIONS",
    "SPLITS",
    "STYLES",
    "SYNONYMS",
    "Phrasing",
    "phrases",
    "sample_phrasing",
    "split_of",
]

SPLITS = ("train", "validation", "test")
SYNONYMS = ("seen", "unseen", "all")
"""``unseen``: an unseen phrase for every finding that has one; ``all``: any phrase."""

# Fields in braces are filled by `vignettes`; {setting} brings its own leading space and may be empty.
STYLES = (
    "{Patient}{setting} presents with {present}",
    "{Patient}{setting} complains of {present}",
    "Patient: {patient}{setting}. Findings: {present}",
    "This {patient}{setting} has developed {present}",
    "Seen{setting}: {patient} with {present}",
    "We see {a_patient}{setting} with {present}",
    "The record of {a_patient}{setting} lists {present}",
    "{Patient}{setting} reports {present}",
)
# A denial that starts with a comma continues the sentence of the style.
DENIALS = (
    " {He} denies {denied_and}.",
    " There is no sign of {denied_or}.",
    ", without {denied_or}",
    ", but not {denied_or}",
    " Absent: {denied_list}.",
    " {He} has no {denied_or}.",
)
# A history that ends with a space stands before the sentence of the style.
HISTORIES = (
    " {His} history includes {history}.",
    " Known: {history}.",
    " Background: {history}.",
    "Past history: {history}. ",
    " Note {history}.",
)
MEASUREMENTS = (
    " Measured: {measured}.",
    " The chart shows {measured}.",
    " The nurse notes {measured}.",
    " Examination reveals {measured}.",
)
FAMILIES = (
    " {His} {relative} had {family}.",
    " Family history: {family} in the {relative}.",
    " {His} {relative} suffered from {family}.",
)
MODIFIERS = {
    "penicillin_allergy": ("penicillin allergy", "penicillin anaphylaxis"),
    "pregnancy": ("ongoing pregnancy", "current pregnancy"),
    "renal_failure": ("renal failure", "chronic dialysis"),
}
"""Phrases for each condition that may change the drug."""

QUESTIONS = {
    "diagnosis": (
        " Diagnosis:",
        " The most likely diagnosis is",
        " Q: Which disease explains this? A:",
        " Impression: most consistent with",
        " The doctor suspects",
    ),
    "treatment": (
        " Treatment:",
        " The drug of choice is",
        " Q: Which drug should be given? A:",
        " Plan: start",
        " The doctor prescribes",
    ),
    "test": (
        " Test:",
        " The confirmatory test is",
        " Q: Which test confirms this? A:",
        " To confirm, order",
        " The next investigation is",
    ),
    "system": (
        " System:",
        " The affected organ is the",
        " Q: Which organ is affected? A:",
        " The problem lies in the",
        " Refer to the team for the",
    ),
}
"""Wordings of each question, up to the space before the answer."""


@dataclass(frozen=True)
class Phrasing:
    """Every choice of wording for one text, as indices into the tables of this file."""

    style: int
    denial: int
    history: int
    questions: Mapping[str, int]
    """Wording of each kind of question."""
    measurement: int
    family: int
    modifier: int
    """Which phrase names the patient's condition."""
    surfaces: Mapping[str, str] = field(repr=False)
    """The phrase for each finding that is told in words."""

    @property
    def combination(self) -> tuple[int, ...]:
        """The choices that decide the split: style, denial, history and questions."""
        return (self.style, self.denial, self.history, *(self.questions[kind] for kind in QUESTIONS))

    def with_surface(self, finding: str, phrase: str) -> "Phrasing":
        """The same wording, except that `finding` is called `phrase`."""
        return replace(self, surfaces={**self.surfaces, finding: phrase})


@cache
def _split_of_combination(combination: tuple[int, ...]) -> str:
    share = zlib.crc32(repr(combination).encode()) % 10
    return "test" if share == 0 else "validation" if share == 1 else "train"


def split_of(phrasing: Phrasing) -> str:
    """The split that owns this combination of style, denial, history and questions: training owns 8 in 10."""
    return _split_of_combination(phrasing.combination)


@cache
def phrases(finding: str, synonyms: str) -> tuple[str, ...]:
    """The phrases that may stand for a finding in words; empty if it is only ever measured.

    Raises:
        ValueError: If `synonyms` is unknown.
    """
    known = FINDINGS[finding]
    if synonyms == "seen":
        return known.seen
    if synonyms == "unseen":
        return known.unseen or known.seen
    if synonyms == "all":
        return known.seen + known.unseen
    raise ValueError(f"synonyms must be one of {', '.join(SYNONYMS)}, got {synonyms!r}")


@cache
def _phrase_table(synonyms: str) -> tuple[tuple[str, tuple[str, ...]], ...]:
    return tuple((finding, phrases(finding, synonyms)) for finding in FINDINGS if phrases(finding, synonyms))


def _draw_surfaces(rng: random.Random, synonyms: str) -> dict[str, str]:
    # int(random() * n) instead of choice: this runs for every finding of every text.
    return {name: options[int(rng.random() * len(options))] for name, options in _phrase_table(synonyms)}


def sample_phrasing(rng: random.Random, split: str, synonyms: str = "seen") -> Phrasing:
    """Draw a wording that belongs to `split`.

    Raises:
        ValueError: If `split` or `synonyms` is unknown.
    """
    if split not in SPLITS:
        raise ValueError(f"split must be one of {', '.join(SPLITS)}, got {split!r}")
    while True:
        style, denial, history = (rng.randrange(len(table)) for table in (STYLES, DENIALS, HISTORIES))
        questions = {kind: rng.randrange(len(wordings)) for kind, wordings in QUESTIONS.items()}
        if _split_of_combination((style, denial, history, *questions.values())) == split:
            break
    return Phrasing(
        style,
        denial,
        history,
        questions,
        measurement=rng.randrange(len(MEASUREMENTS)),
        family=rng.randrange(len(FAMILIES)),
        modifier=rng.randrange(2),
        surfaces=_draw_surfaces(rng, synonyms),
    )
