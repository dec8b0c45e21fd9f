"""Test cases as users see them: prompts with their answers, concepts and contrasts, drawn with a tokenizer at hand.

What `experiments clinic sample` prints and what `experiments clinic check` measures on.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from experiments.clinic.broad_text import broad_documents
from experiments.clinic.document import Document, Span
from experiments.clinic.other_texts import qa_document
from experiments.clinic.vignettes import ContrastPrompt, TestCase, vignette_case

__all__ = ["KINDS", "PairedCase", "paired_cases", "sample_cases"]

KINDS = ("vignette", "qa", "broad")

Tokenizer = Callable[[str], Any]


@dataclass(frozen=True)
class PairedCase:
    """A vignette and the contrasts that have as many tokens as it; at least one."""

    test_case: TestCase
    contrasts: tuple[ContrastPrompt, ...]


def paired_cases(
    tokenizer: Tokenizer, *, seed: int, synonyms: str = "seen", combinations: str = "seen", split: str = "test"
) -> Iterator[PairedCase]:
    """Endless vignette cases with contrasts of equal token length; draws without any are passed over.

    Args:
        tokenizer: `tokenizer(text)["input_ids"]` counts tokens.
        seed: The same seed and options give the same cases.
        synonyms: `seen`, `unseen` or `all`.
        combinations: `seen`, `withheld` or `all`.
        split: `test` phrasings by default.
    """
    rng = random.Random(f"cases {split} {synonyms} {combinations} {seed}")
    while True:
        case = vignette_case(rng, split=split, synonyms=synonyms, combinations=combinations)
        length = _length(tokenizer, case.prompt)
        fitting = tuple(c for c in case.contrasts if _length(tokenizer, c.prompt) == length)
        if fitting:
            yield PairedCase(case, fitting)


def sample_cases(
    tokenizer: Tokenizer,
    kind: str,
    n: int,
    *,
    seed: int = 0,
    synonyms: str = "seen",
    combinations: str = "seen",
) -> list[dict[str, Any]]:
    """`n` test cases as JSON objects: prompt, text, answer, concepts, decisive, contrast.

    Raises:
        ValueError: If `kind` or an option is unknown.
    """
    if kind == "vignette":
        cases = paired_cases(tokenizer, seed=seed, synonyms=synonyms, combinations=combinations)
        return [_vignette_json(next(cases)) for _ in range(n)]
    if kind == "qa":
        rng = random.Random(f"qa test {seed}")
        return [_document_json(qa_document(rng, "test")) for _ in range(n)]
    if kind == "broad":
        return [_document_json(document) for document in broad_documents(n, seed, "test")]
    raise ValueError(f"kind {kind!r} is unknown, expected one of {', '.join(KINDS)}")


def _length(tokenizer: Tokenizer, text: str) -> int:
    return len(tokenizer(text)["input_ids"])


def _vignette_json(paired: PairedCase) -> dict[str, Any]:
    case = paired.test_case
    return {
        **_case_json(case.prompt, case.text, case.answer, case.spans),
        "decisive": list(case.decisive),
        "negation_decides": case.case.negation_decides,
        "numeric_decides": case.case.numeric_decides,
        "treatment": case.drug,
        "contrast": [
            {"prompt": c.prompt, "answer": c.answer, "changed_from": c.changed_from, "changed_to": c.changed_to}
            for c in paired.contrasts
        ],
    }


def _document_json(document: Document) -> dict[str, Any]:
    """A case asks for the document's first answer, or where it asks nothing for its last word."""
    if document.answer_points:
        point = document.answer_points[0]
        prompt, answer = document.text[: point.prompt_end], point.answer
    else:
        prompt, _, answer = document.text.rstrip(".").rpartition(" ")
    return {**_case_json(prompt, document.text, answer, document.spans), "decisive": [], "contrast": []}


def _case_json(prompt: str, text: str, answer: str, spans: tuple[Span, ...]) -> dict[str, Any]:
    concepts = [{"start": span.start, "end": span.end, "concept": span.concept} for span in spans]
    return {"prompt": prompt, "text": text, "answer": answer, "concepts": concepts}
