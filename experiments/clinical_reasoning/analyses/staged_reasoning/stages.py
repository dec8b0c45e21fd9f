"""Staged text of the clinic: key findings, assessment, diagnosis; written by a model, read and edited."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from experiments.clinic.knowledge import DISEASES, FINDINGS
from sae.host.host import HostModel

__all__ = ["DIAGNOSIS", "KEY_FINDINGS", "Staged", "continued", "named_findings", "parsed", "with_named_swapped"]

KEY_FINDINGS = " Key findings:"
"""What is put behind a vignette for the model to go on; one of the openings of the training texts."""
ASSESSMENT, DIAGNOSIS = ". Assessment:", "Diagnosis:"
MAX_NEW_TOKENS = 64
BATCH_ROWS = 64
_CONCEPTS = {finding.title: name for name, finding in FINDINGS.items()}


@dataclass(frozen=True)
class Staged:
    """What a model wrote behind `KEY_FINDINGS`.

    Attributes:
        text: All of it.
        named: Concepts among the key findings, `pos:FINDING` or `neg:FINDING`, each once, in order.
        diagnosis: What it said behind `DIAGNOSIS`; None where it said no disease there.
        is_staged: Whether it went through the stages: an assessment behind the key findings, and a diagnosis.
    """

    text: str
    named: tuple[str, ...]
    diagnosis: str | None
    is_staged: bool


def continued(host: HostModel, prompts: Sequence[str]) -> list[str]:
    """What the model goes on with, greedily, without special tokens."""
    rows = [host.tokenise(prompt) for prompt in prompts]
    order = sorted(range(len(rows)), key=lambda index: len(rows[index]))
    found = [""] * len(rows)
    for start in range(0, len(order), BATCH_ROWS):
        chosen = order[start : start + BATCH_ROWS]
        batch = host.batch([rows[index] for index in chosen])
        room = host.context_length - batch.ids.shape[1]
        ids = host.generate(batch, max_new_tokens=min(MAX_NEW_TOKENS, room))[:, batch.ids.shape[1] :]
        for index, text in zip(chosen, host.tokenizer.batch_decode(ids, skip_special_tokens=True), strict=True):
            found[index] = text
    return found


def parsed(text: str) -> Staged:
    """Read a continuation of `KEY_FINDINGS`."""
    findings, assessment, rest = text.partition(ASSESSMENT)
    _, asked, answer = rest.partition(DIAGNOSIS)
    words = re.findall(r"[a-z]+", answer)
    diagnosis = words[0] if words and words[0] in DISEASES else None
    return Staged(text, named_findings(findings), diagnosis, bool(assessment and asked and diagnosis))


def named_findings(text: str) -> tuple[str, ...]:
    """The concepts of an enumeration such as ` fever, no rash`; what is no finding is passed over."""
    found = []
    for item in text.split(","):
        words = item.strip().rstrip(".")
        title = words.removeprefix("no ")
        if title in _CONCEPTS:
            found.append(f"{'neg' if title != words else 'pos'}:{_CONCEPTS[title]}")
    return tuple(dict.fromkeys(found))


def _told(concept: str) -> str:
    polarity, _, finding = concept.partition(":")
    return f"{'no ' if polarity == 'neg' else ''}{FINDINGS[finding].title}"


def with_named_swapped(staged: Staged, old: str, new: str) -> str:
    """The key findings that were written, with one of them replaced, up to the assessment.

    Args:
        staged: What the model wrote; it names `old`.
        old: Concept.
        new: What stands in its place.
    """
    return f" {', '.join(_told(new if concept == old else concept) for concept in staged.named)}{ASSESSMENT}"
