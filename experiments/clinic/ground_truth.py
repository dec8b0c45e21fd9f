"""What the documents of the clinic say, in the form of every labelled corpus: spans, classes, parents."""

import random
from collections.abc import Iterator
from itertools import count

from experiments.clinic.document import Document, Span
from experiments.clinic.knowledge import DISEASES, DRUG_CLASSES, FINDINGS, PARENT_CATEGORY
from experiments.clinic.other_texts import documents
from experiments.clinic.vignettes import vignette_case
from sae.annotated_text import AnnotatedText, AnswerPlace, TextSpan

__all__ = [
    "PARENTS",
    "annotated",
    "classified_prompts",
    "concepts_of_span",
    "labelled_texts",
    "unseen_texts",
]

CHUNK = 500
SPLIT = "test"
_DIGITS = set("0123456789")

PARENTS: dict[str, tuple[str, ...]] = {
    **{f"dx:{name}": (f"category:{disease.category}",) for name, disease in DISEASES.items()},
    **{f"category:{category}": (f"category:{parent}",) for category, parent in PARENT_CATEGORY.items()},
    **{f"rx:{drug}": (f"class:{name}",) for drug, name in DRUG_CLASSES.items()},
    **{f"finding:{name}": (f"system:{finding.system}",) for name, finding in FINDINGS.items()},
}
"""Disease, kind of disease, its parent; drug and class; finding and organ system."""


def concepts_of_span(concept: str, text: str) -> list[str]:
    """All concepts that a recorded span stands for.

    A mention of a finding counts for its polarity (``pos:fever``, ``neg:fever``) and for the finding itself:
    ``finding:fever`` where it is told in words, ``measure:fever`` where a value is given.
    """
    family, _, name = concept.partition(":")
    if family not in ("pos", "neg"):
        return [concept]
    kind = "measure" if _DIGITS & set(text) else "finding"
    return [concept, f"{kind}:{name}"]


def annotated(document: Document) -> AnnotatedText:
    """A document with the concepts of its spans, and the places where an answer is due that nothing before gave away.

    Where that is a diagnosis, the last character before it carries ``latent:DISEASE``: it is as yet unsaid.
    """
    due = [point for point in document.answer_points if not point.revealed]
    unsaid = [
        TextSpan(point.prompt_end - 1, point.prompt_end, f"latent:{point.answer}")
        for point in due
        if point.kind == "diagnosis"
    ]
    answers = tuple(AnswerPlace(point.prompt_end, point.answer) for point in due)
    return AnnotatedText(document.text, (*_spans(document.text, document.spans), *unsaid), answers)


def labelled_texts(seed: int) -> Iterator[AnnotatedText]:
    """Test documents with their concepts, without end; the glossary, which tells unseen synonyms, is left out."""
    for chunk in count():
        for document in documents(CHUNK, _chunk_seed(seed, chunk), SPLIT):
            if document.kind != "glossary":
                yield annotated(document)


def unseen_texts(seed: int) -> Iterator[AnnotatedText]:
    """Test vignettes in which every finding that has an unseen synonym is told by it, without end.

    Spans are of findings only: nothing else is worded anew.
    """
    rng = random.Random(f"unseen labelled {seed}")
    while True:
        case = vignette_case(rng, synonyms="unseen")
        findings = tuple(span for span in case.spans if span.concept.partition(":")[0] in ("pos", "neg"))
        yield AnnotatedText(case.text, tuple(_spans(case.text, findings)))


def classified_prompts(seed: int) -> Iterator[AnnotatedText]:
    """Test documents up to where a diagnosis is due that nothing gave away; their classes follow from it."""
    for chunk in count():
        for document in documents(CHUNK, _chunk_seed(seed, chunk), SPLIT):
            for point in document.answer_points:
                if point.kind == "diagnosis" and not point.revealed:
                    yield AnnotatedText(document.text[: point.prompt_end], classes=_classes(point.answer))


def _chunk_seed(seed: int, chunk: int) -> int:
    """Chunks of different seeds do not meet before a million of them."""
    return seed * 1_000_000 + chunk


def _spans(text: str, spans: tuple[Span, ...]) -> Iterator[TextSpan]:
    for span in spans:
        for concept in concepts_of_span(span.concept, text[span.start : span.end]):
            yield TextSpan(span.start, span.end, concept)


def _classes(diagnosis: str) -> tuple[str, ...]:
    disease = DISEASES[diagnosis]
    return (
        f"diagnosis:{diagnosis}",
        f"system:{disease.system}",
        f"category:{disease.category}",
        f"category:{PARENT_CATEGORY[disease.category]}",
    )
