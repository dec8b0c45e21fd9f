"""The other clinical texts, and the mix of all: reasoning, facts in question and answer, choices, a glossary.

The glossary names every phrase of every finding, also those that vignettes of the training split never use.
"""

import random
from collections.abc import Callable, Sequence
from typing import TypeVar

from experiments.clinic.cases import Case, decisive, sample_case
from experiments.clinic.document import Document, DocumentBuilder
from experiments.clinic.knowledge import DISEASES, DRUG_CLASSES, FINDINGS, PARENT_CATEGORY, Disease, scores
from experiments.clinic.phrasing import MODIFIERS, phrases, sample_phrasing
from experiments.clinic.vignettes import Piece, is_unique, vignette_document, with_article, write_vignette

__all__ = [
    "choice_document",
    "clinical_document",
    "documents",
    "glossary_document",
    "qa_document",
    "reasoning_document",
]

DISEASE_NAMES = tuple(DISEASES)
DRUG_NAMES = tuple(DRUG_CLASSES)
FINDING_NAMES = tuple(FINDINGS)
WORDED_FINDINGS = tuple(name for name, finding in FINDINGS.items() if finding.seen)
MEASURED_FINDINGS = tuple(name for name, finding in FINDINGS.items() if finding.measurement)
# The text before, between and after two phrases for one finding, singular or plural.
SYNONYM_SENTENCES = (
    ("The term ", " means ", "."),
    ("Another word for ", " is ", "."),
    ("In short, ", " and ", " mean the same."),
    ("Doctors use ", " for ", "."),
)
T = TypeVar("T")

LETTERS = "ABCD"
MAX_FACTS = 3


def _draw(rng: random.Random, shares: Sequence[tuple[T, float]]) -> T:
    """One of the items, each as often as its share says."""
    return rng.choices([item for item, _ in shares], [share for _, share in shares])[0]


def _key_findings(case: Case) -> list[Piece]:
    """The decisive findings by their titles, whatever the vignette called them: ``fever, no rash``."""
    signature = DISEASES[case.diagnosis].signature
    key = decisive(case) or tuple(finding for finding in case.present if finding in signature)
    pieces: list[Piece] = []
    for number, finding in enumerate(key):
        is_present = finding in case.present
        pieces.append((f"{', ' if number else ''}{'' if is_present else 'no '}", None))
        pieces.append((FINDINGS[finding].title, f"{'pos' if is_present else 'neg'}:{finding}"))
    return pieces


def reasoning_document(rng: random.Random, split: str = "train") -> Document:
    """A vignette with staged reasoning: decisive findings, organ and kind of disease, diagnosis, plan."""
    case, phrasing = sample_case(rng), sample_phrasing(rng, split)
    disease = DISEASES[case.diagnosis]
    builder = DocumentBuilder()
    write_vignette(builder, case, phrasing)
    builder.add(rng.choice((" Key findings: ", " Decisive: ", " What counts: ")))
    for text, concept in _key_findings(case):
        builder.add(text, concept)
    builder.add(rng.choice((". Assessment: a disease of the", ". Assessment: this points to the")))
    builder.answer("system", disease.system, f"sys:{disease.system}")
    parent = PARENT_CATEGORY[disease.category]
    builder.add(f", {with_article(parent)}, more exactly {with_article(disease.category)}. Diagnosis:")
    is_revealed = is_unique(disease.system, disease.category)
    builder.answer("diagnosis", case.diagnosis, f"dx:{case.diagnosis}", revealed=is_revealed)
    reason = MODIFIERS[case.exception][phrasing.modifier] if case.exception and case.exception_decides else ""
    builder.add(f". Mechanism: {disease.mechanism}.")
    builder.add(f" Because of {reason}, give" if reason else " Plan: give")
    builder.answer("treatment", case.drug, f"rx:{case.drug}").add(".")
    return builder.build("reasoning")


def _about_drug(rng: random.Random, disease: Disease) -> tuple[str, str, str]:
    question = rng.choice(("Which drug treats {}?", "What is the first drug for {}?", "How is {} treated?"))
    return question.format(disease.name), disease.drug, f"rx:{disease.drug}"


def _about_exception(rng: random.Random, disease: Disease) -> tuple[str, str, str]:
    if not disease.exceptions:
        return _about_drug(rng, disease)
    exception, drug = rng.choice(tuple(disease.exceptions.items()))
    question = rng.choice(("Which drug treats {} despite {}?", "What is given for {} in a patient with {}?"))
    return question.format(disease.name, rng.choice(MODIFIERS[exception])), drug, f"rx:{drug}"


def _about_test(rng: random.Random, disease: Disease) -> tuple[str, str, str]:
    question = rng.choice(("Which test confirms {}?", "How is {} confirmed?"))
    return question.format(disease.name), disease.test, f"test:{disease.test}"


def _about_system(rng: random.Random, disease: Disease) -> tuple[str, str, str]:
    question = rng.choice(("Which organ does {} affect?", "Where is {} located?"))
    return question.format(disease.name), disease.system, f"sys:{disease.system}"


def _about_class(rng: random.Random, disease: Disease) -> tuple[str, str, str]:
    drug = rng.choice((disease.drug, *disease.exceptions.values()))
    question = rng.choice(("Which drug class does {} belong to?", "What kind of drug is {}?"))
    return question.format(drug), DRUG_CLASSES[drug], f"class:{DRUG_CLASSES[drug]}"


def _about_mechanism(rng: random.Random, disease: Disease) -> tuple[str, str, str]:
    question = rng.choice(("Which disease is marked by {}?", "What is the name for {}?"))
    return question.format(disease.mechanism), disease.name, f"dx:{disease.name}"


def _about_category(rng: random.Random, disease: Disease) -> tuple[str, str, str]:
    question = rng.choice(("What kind of disease is {}?", "To which group does {} belong?"))
    parent = PARENT_CATEGORY[disease.category]
    return question.format(disease.name), parent, f"category:{parent}"


def _about_finding(rng: random.Random, disease: Disease) -> tuple[str, str, str]:
    is_typical = rng.random() < 0.5
    others = [finding for finding in FINDING_NAMES if finding not in disease.signature]
    finding = rng.choice(disease.signature if is_typical else others)
    phrase = rng.choice(FINDINGS[finding].seen or (FINDINGS[finding].title,))
    question = rng.choice(("Is {} typical of {}?", "Does {} belong to {}?"))
    return question.format(phrase, disease.name), "yes" if is_typical else "no", f"typical:{finding}"


FACTS: tuple[Callable[[random.Random, Disease], tuple[str, str, str]], ...] = (
    _about_drug,
    _about_exception,
    _about_test,
    _about_system,
    _about_class,
    _about_mechanism,
    _about_category,
    _about_finding,
    _about_finding,
)
"""Each draws a question about a disease, its answer and the concept of the answer."""


def qa_document(rng: random.Random, split: str = "train") -> Document:
    """One to three facts, each as a question and a one-word answer."""
    builder = DocumentBuilder()
    opening, answering = rng.choice((("Q:", "A:"), ("Question:", "Answer:")))
    for number in range(rng.randint(1, MAX_FACTS)):
        question, answer, concept = rng.choice(FACTS)(rng, DISEASES[rng.choice(DISEASE_NAMES)])
        builder.add(f"{' ' if number else ''}{opening} {question} {answering}")
        builder.answer("fact", answer, concept).add(".")
    return builder.build("qa")


def _options(rng: random.Random, case: Case) -> list[str]:
    """The diagnosis and up to three others, the best fitting ones first, shuffled."""
    totals = scores(case.present, case.denied)
    del totals[case.diagnosis]
    others = sorted(totals, key=lambda name: (-totals[name], name))
    options = [case.diagnosis, *others[: rng.choice((1, 2, 3))]]
    rng.shuffle(options)
    return options


def choice_document(rng: random.Random, split: str = "train") -> Document:
    """A vignette and a choice between its diagnosis and similar diseases."""
    case, phrasing = sample_case(rng), sample_phrasing(rng, split)
    builder = DocumentBuilder()
    write_vignette(builder, case, phrasing)
    builder.add(rng.choice((" Options:", " Choose one:", " Which of these is it?")))
    options = _options(rng, case)
    for letter, option in zip(LETTERS, options, strict=False):
        builder.add(f" ({letter}) ").add(option, f"option:{option}")
    letter = LETTERS[options.index(case.diagnosis)]
    builder.add(". Answer:").answer("choice", f"({letter})", f"choice:{letter}")
    builder.answer("diagnosis", case.diagnosis, f"dx:{case.diagnosis}", revealed=True).add(".")
    return builder.build("choice")


def _define_synonym(rng: random.Random, builder: DocumentBuilder) -> None:
    finding = rng.choice(WORDED_FINDINGS)
    forms = phrases(finding, "all")
    one, other = rng.sample(forms, 2)
    before, middle, after = rng.choice(SYNONYM_SENTENCES)
    builder.add(before).add(one, f"pos:{finding}").add(middle).add(other, f"pos:{finding}").add(after)


def _define_threshold(rng: random.Random, builder: DocumentBuilder) -> None:
    finding = FINDINGS[rng.choice(MEASURED_FINDINGS)]
    measurement = finding.measurement
    assert measurement is not None
    limit = measurement.number(measurement.threshold)
    quantity = measurement.quantity.capitalize()
    bound = f"of {limit} or more" if measurement.is_above else f"below {limit}"
    if rng.random() < 0.5:
        builder.add(f"{quantity} {bound} is ").add(finding.title, f"pos:{finding.name}").add(".")
        return
    is_present = rng.random() < 0.5
    phrase = measurement.phrase(rng.choice(measurement.values(is_present)))
    polarity = "pos" if is_present else "neg"
    builder.add(phrase.capitalize(), f"{polarity}:{finding.name}")
    builder.add(" means " if is_present else " means no ")
    builder.add(finding.title, f"{polarity}:{finding.name}").add(".")


def _define_disease(rng: random.Random, builder: DocumentBuilder) -> None:
    disease = DISEASES[rng.choice(DISEASE_NAMES)]
    parent = PARENT_CATEGORY[disease.category]
    builder.add(disease.name.capitalize(), f"dx:{disease.name}")
    builder.add(
        rng.choice(
            (
                f" is {with_article(disease.category)}.",
                f" is {with_article(disease.category)} of the {disease.system}.",
                f" is {with_article(parent)}, more exactly {with_article(disease.category)}.",
                f" is marked by {disease.mechanism}.",
                f" means {disease.mechanism}.",
            )
        )
    )


def _define_category(rng: random.Random, builder: DocumentBuilder) -> None:
    category, parent = rng.choice(tuple(PARENT_CATEGORY.items()))
    builder.add(f"{with_article(category).capitalize()} is {with_article(parent)}.")


def _define_drug(rng: random.Random, builder: DocumentBuilder) -> None:
    drug = rng.choice(DRUG_NAMES)
    drug_class = with_article(DRUG_CLASSES[drug])
    builder.add(drug.capitalize(), f"rx:{drug}")
    builder.add(rng.choice((f" is {drug_class}.", f" is a drug, namely {drug_class}.")))


DEFINITIONS: tuple[tuple[Callable[[random.Random, DocumentBuilder], None], float], ...] = (
    (_define_synonym, 0.375),
    (_define_threshold, 0.125),
    (_define_disease, 0.25),
    (_define_category, 0.125),
    (_define_drug, 0.125),
)
"""Each appends one sentence; with its share of the glossary."""


def glossary_document(rng: random.Random, split: str = "train") -> Document:
    """Two to four sentences that define words: synonyms, thresholds, kinds of disease and of drug."""
    builder = DocumentBuilder()
    for number in range(rng.randint(2, 4)):
        if number:
            builder.add(" ")
        _draw(rng, DEFINITIONS)(rng, builder)
    return builder.build("glossary")


KINDS: tuple[tuple[Callable[[random.Random, str], Document], float], ...] = (
    (vignette_document, 0.62),
    (reasoning_document, 0.10),
    (qa_document, 0.10),
    (choice_document, 0.08),
    (glossary_document, 0.10),
)
"""The kinds of clinical text and their shares."""


def clinical_document(rng: random.Random, split: str = "train") -> Document:
    """One clinical text of any kind."""
    return _draw(rng, KINDS)(rng, split)


def documents(n: int, seed: int, split: str = "train") -> list[Document]:
    """`n` clinical texts; the same arguments give the same texts in every process.

    Raises:
        ValueError: If `split` is unknown.
    """
    rng = random.Random(f"clinical {split} {seed}")
    return [clinical_document(rng, split) for _ in range(n)]
