"""Vignettes: a case told in a few sentences, the questions after it, and test cases with their contrasts."""

import random
from dataclasses import dataclass
from functools import cache
from string import Formatter

from experiments.clinic.cases import Case, contrast_cases, decisive, sample_case
from experiments.clinic.document import Document, DocumentBuilder, Span
from experiments.clinic.knowledge import DISEASES, FINDINGS, withheld
from experiments.clinic.phrasing import (
    DENIALS,
    FAMILIES,
    HISTORIES,
    MEASUREMENTS,
    MODIFIERS,
    QUESTIONS,
    STYLES,
    Phrasing,
    phrases,
    sample_phrasing,
)

__all__ = [
    "ContrastPrompt",
    "Piece",
    "TestCase",
    "ask",
    "is_unique",
    "join",
    "render",
    "vignette_case",
    "vignette_document",
    "with_article",
    "write_vignette",
]

Piece = tuple[str, str | None]
"""A text and the concept that it expresses, if any."""

P_SYSTEM, P_TEST, P_TREATMENT, P_SHUFFLED = 0.25, 0.35, 0.65, 0.15
"""How often each question is asked beside the diagnosis, and how often the order is shuffled."""


def with_article(phrase: str) -> str:
    """`phrase` after its indefinite article: ``an old man``."""
    return f"{'an' if phrase[0] in 'aeiou' else 'a'} {phrase}"


def join(pieces: list[Piece], conjunction: str = "and") -> list[Piece]:
    """An enumeration of `pieces`: ``a, b and c``; with an empty `conjunction`, ``a, b, c``."""
    last = f" {conjunction} " if conjunction else ", "
    joined: list[Piece] = []
    for number, piece in enumerate(pieces):
        if number:
            joined.append((last if number == len(pieces) - 1 else ", ", None))
        joined.append(piece)
    return joined


@cache
def _parse(template: str) -> tuple[tuple[str, str | None], ...]:
    """A template as (literal text, name of the field that follows it)."""
    return tuple((literal, name) for literal, name, _, _ in Formatter().parse(template))


def _measured(case: Case) -> list[Piece]:
    pieces: list[Piece] = []
    for finding, value in case.values.items():
        measurement = FINDINGS[finding].measurement
        assert measurement is not None
        polarity = "pos" if finding in case.present else "neg"
        pieces.append((measurement.phrase(value), f"{polarity}:{finding}"))
    return pieces


def _history(case: Case, phrasing: Phrasing) -> list[Piece]:
    pieces: list[Piece] = []
    if case.neutral_history is not None:
        pieces.append((case.neutral_history, None))
    if case.exception is not None:
        pieces.append((MODIFIERS[case.exception][phrasing.modifier], f"mod:{case.exception}"))
    return pieces


def _fields(case: Case, phrasing: Phrasing) -> dict[str, list[Piece]]:
    """What fills each field of the templates in `phrasing`."""
    patient: list[Piece] = [(case.age, f"demo:{case.age}"), (" ", None), (case.sex, f"demo:{case.sex}")]
    article = with_article(case.age).split()[0]
    setting: list[Piece] = []
    if case.setting is not None:
        place = " on the " if case.setting == "ward" else " in the "
        setting = [(place, None), (case.setting, f"setting:{case.setting.replace(' ', '_')}")]
    denied: list[Piece] = [(phrasing.surfaces[f], f"neg:{f}") for f in case.denied if f not in case.values]
    present: list[Piece] = [(phrasing.surfaces[f], f"pos:{f}") for f in case.present if f not in case.values]
    relative, family = case.family or ("", "")
    is_woman = case.sex == "woman"
    return {
        "patient": patient,
        "a_patient": [(f"{article} ", None), *patient],
        "Patient": [(f"{article.capitalize()} ", None), *patient],
        "setting": setting,
        "He": [("She" if is_woman else "He", None)],
        "His": [("Her" if is_woman else "His", None)],
        "present": join(present),
        "denied_and": join(denied),
        "denied_or": join(denied, "or"),
        "denied_list": join(denied, ""),
        "measured": join(_measured(case)),
        "history": join(_history(case, phrasing)),
        "relative": [(relative, None)],
        "family": [(family, f"family:{family}")],
    }


def _templates(case: Case, phrasing: Phrasing) -> list[str]:
    """The sentences of the vignette, in order."""
    denial = DENIALS[phrasing.denial] if any(f not in case.values for f in case.denied) else ""
    history = HISTORIES[phrasing.history] if case.exception or case.neutral_history else ""
    is_clause, is_first = denial.startswith(","), history.endswith(" ")
    return [
        history if is_first else "",
        STYLES[phrasing.style],
        denial if is_clause else "",
        ".",
        "" if is_clause else denial,
        MEASUREMENTS[phrasing.measurement] if case.values else "",
        "" if is_first else history,
        FAMILIES[phrasing.family] if case.family else "",
    ]


def write_vignette(builder: DocumentBuilder, case: Case, phrasing: Phrasing) -> None:
    """Append the vignette of `case`, without any question."""
    fields = _fields(case, phrasing)
    for template in _templates(case, phrasing):
        for literal, name in _parse(template):
            builder.add(literal)
            for text, concept in fields[name] if name else ():
                builder.add(text, concept)


def render(case: Case, phrasing: Phrasing) -> Document:
    """The vignette of `case` in the words of `phrasing`, without a question; same input, same text."""
    builder = DocumentBuilder()
    write_vignette(builder, case, phrasing)
    return builder.build("vignette")


def _answer(case: Case, kind: str) -> tuple[str, str]:
    """The right answer to a kind of question, and its concept."""
    disease = DISEASES[case.diagnosis]
    prefix, answer = {
        "diagnosis": ("dx", case.diagnosis),
        "treatment": ("rx", case.drug),
        "test": ("test", disease.test),
        "system": ("sys", disease.system),
    }[kind]
    return answer, f"{prefix}:{answer}"


def ask(builder: DocumentBuilder, case: Case, phrasing: Phrasing, kind: str, *, revealed: bool = False) -> None:
    """Append a question about `case` and its answer."""
    answer, concept = _answer(case, kind)
    builder.add(QUESTIONS[kind][phrasing.questions[kind]])
    builder.answer(kind, answer, concept, revealed=revealed).add(".")


def _question_order(rng: random.Random) -> list[str]:
    order = ["diagnosis"]
    if rng.random() < P_SYSTEM:
        order.insert(0, "system")
    if rng.random() < P_TEST:
        order.append("test")
    if rng.random() < P_TREATMENT:
        order.append("treatment")
    if rng.random() < P_SHUFFLED:
        rng.shuffle(order)
    return order


@cache
def is_unique(system: str, category: str | None = None) -> bool:
    """Whether only one disease has this organ system (and this category, if given)."""
    fitting = [d for d in DISEASES.values() if d.system == system and category in (None, d.category)]
    return len(fitting) == 1


def _is_revealed(case: Case, kind: str, before: list[str]) -> bool:
    """Whether the answers `before` give the answer to a question of `kind` away."""
    if kind == "treatment":
        return False  # the patient's condition still has to be read
    return any(earlier != "system" or is_unique(DISEASES[case.diagnosis].system) for earlier in before)


def vignette_document(rng: random.Random, split: str = "train") -> Document:
    """A vignette and one to four questions, the diagnosis always among them."""
    case, phrasing = sample_case(rng), sample_phrasing(rng, split)
    builder = DocumentBuilder()
    write_vignette(builder, case, phrasing)
    order = _question_order(rng)
    for number, kind in enumerate(order):
        ask(builder, case, phrasing, kind, revealed=_is_revealed(case, kind, order[:number]))
    return builder.build("vignette")


@dataclass(frozen=True)
class ContrastPrompt:
    """The prompt of a test case with one finding changed, so that another diagnosis is right."""

    case: Case
    prompt: str
    answer: str
    changed_from: str
    changed_to: str
    """Equal to `changed_from` if a measured value crossed its threshold."""


@dataclass(frozen=True)
class TestCase:
    """A vignette that ends in the question for the diagnosis, with nothing given away before."""

    __test__ = False

    case: Case
    phrasing: Phrasing
    prompt: str
    """Without a trailing space."""
    text: str
    """The prompt, the answer and a full stop."""
    answer: str
    spans: tuple[Span, ...]
    """Concepts in `text`."""
    decisive: tuple[str, ...]
    """The findings without which the diagnosis would be open or another."""
    contrasts: tuple[ContrastPrompt, ...]
    """Candidates in every wording of the changed finding; pick those of the same length in tokens."""

    @property
    def treatment_prompt(self) -> str:
        """`text` and the question for the drug."""
        return self.text + QUESTIONS["treatment"][self.phrasing.questions["treatment"]]

    @property
    def drug(self) -> str:
        """The right drug, the patient's condition considered."""
        return self.case.drug


def _contrast_prompts(case: Case, phrasing: Phrasing, question: str, forms: str) -> list[ContrastPrompt]:
    """Every contrast of `case` in the same words, the new finding in each of its `forms`."""
    prompts = []
    for contrast in contrast_cases(case):
        changed, old, new = contrast.case, contrast.changed_from, contrast.changed_to
        wordings = [phrasing.with_surface(new, phrase) for phrase in phrases(new, forms)]
        for wording in [phrasing] if new in changed.values else wordings:
            prompt = render(changed, wording).text + question
            prompts.append(ContrastPrompt(changed, prompt, changed.diagnosis, old, new))
    return prompts


def vignette_case(
    rng: random.Random,
    *,
    split: str = "test",
    synonyms: str = "seen",
    combinations: str = "seen",
) -> TestCase:
    """Draw a test case that has at least one contrast.

    Args:
        rng: Source of all randomness.
        split: Which phrasings to use; those of ``test`` never occur in training.
        synonyms: Which phrases to use for findings; unseen ones occur in training only in the glossary.
        combinations: Whether withheld pairs of findings are avoided, required or allowed.

    Raises:
        ValueError: If an option is unknown.
    """
    forms = "seen" if synonyms == "seen" else "all"
    while True:
        case, phrasing = sample_case(rng, combinations=combinations), sample_phrasing(rng, split, synonyms)
        question = QUESTIONS["diagnosis"][phrasing.questions["diagnosis"]]
        contrasts = _contrast_prompts(case, phrasing, question, forms)
        if combinations == "seen":
            contrasts = [contrast for contrast in contrasts if not withheld(contrast.case.present)]
        if contrasts:
            break
    builder = DocumentBuilder()
    write_vignette(builder, case, phrasing)
    ask(builder, case, phrasing, "diagnosis")
    prompt_end = builder.answer_points[0].prompt_end
    return TestCase(
        case,
        phrasing,
        builder.text[:prompt_end],
        builder.text,
        case.diagnosis,
        tuple(builder.spans),
        decisive(case),
        tuple(contrasts),
    )
