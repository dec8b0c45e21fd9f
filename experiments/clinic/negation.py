"""Pairs of vignettes in the same words, of which the second denies one finding that the first asserts."""

import random
from collections.abc import Iterator
from dataclasses import replace

from experiments.clinic.cases import sample_case
from experiments.clinic.document import Document
from experiments.clinic.phrasing import sample_phrasing
from experiments.clinic.vignettes import render

__all__ = ["denied_pairs"]


def denied_pairs(seed: int, *, split: str = "test") -> Iterator[tuple[Document, Document]]:
    """Vignettes without a question, and the same with a finding that is told in words moved among the denied ones.

    What the second vignette leads to is left open: it is a text about negation, not a case to be solved.

    Args:
        seed: The same seed gives the same pairs.
        split: Which phrasings to use; those of ``test`` never occur in training.
    """
    rng = random.Random(f"negation {seed}")
    while True:
        case, phrasing = sample_case(rng), sample_phrasing(rng, split)
        told = [finding for finding in case.present if finding not in case.values]
        if len(told) < 2:
            continue
        denied = rng.choice(told)
        present = tuple(finding for finding in case.present if finding != denied)
        flipped = replace(case, present=present, denied=(*case.denied, denied))
        yield render(case, phrasing), render(flipped, phrasing)
