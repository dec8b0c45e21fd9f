"""Vignettes of two diagnoses in which the care setting goes with the diagnosis, although it has no part in it."""

import random
from dataclasses import dataclass, replace

from experiments.clinic.cases import Case, sample_case
from experiments.clinic.knowledge import DISEASES, rivals
from experiments.clinic.phrasing import QUESTIONS, Phrasing, sample_phrasing
from experiments.clinic.vignettes import render

__all__ = ["SETTINGS", "CuedCase", "cued_cases", "diagnosis_pairs"]

SETTINGS = ("ward", "emergency department")
"""What is told of the first and of the second diagnosis where cue and diagnosis agree."""


@dataclass(frozen=True)
class CuedCase:
    """A prompt that ends in the question for the diagnosis.

    Attributes:
        prompt: Without a trailing space.
        without_cue: The same without the care setting.
        diagnosis: 0 or 1.
        cue: 0 or 1; equal to `diagnosis` where they agree.
        template: What it was rendered from; cases of one template are not independent.
    """

    prompt: str
    without_cue: str
    diagnosis: int
    cue: int
    template: str


def diagnosis_pairs(n: int, *, seed: int) -> list[tuple[str, str]]:
    """Pairs of diagnoses that share at least two findings; no diagnosis is in two of them.

    Raises:
        ValueError: There are not so many.
    """
    candidates = [(one, other) for one in DISEASES for other in rivals(one) if one < other]
    random.Random(f"diagnosis pairs {seed}").shuffle(candidates)
    chosen: list[tuple[str, str]] = []
    for pair in candidates:
        if len(chosen) < n and not {*pair} & {name for other in chosen for name in other}:
            chosen.append(pair)
    if len(chosen) < n:
        raise ValueError(f"{n} disjoint pairs of diagnoses were asked for, there are {len(chosen)}; ask for fewer")
    return chosen


def cued_cases(diagnoses: tuple[str, str], n: int, *, agreement: float, split: str, seed: int | str) -> list[CuedCase]:
    """Cases of both diagnoses, half of each, in random order.

    Args:
        diagnoses: The two.
        n: How many cases.
        agreement: Share of either diagnosis's cases in which the cue is the one that goes with it; .5 is balanced.
        split: Which phrasings: `train`, `validation` or `test`.
        seed: The same seed and options give the same cases.
    """
    rng = random.Random(f"cued {diagnoses} {n} {agreement} {split} {seed}")
    cases = []
    for diagnosis, name in enumerate(diagnoses):
        count = n // 2 + (n % 2) * diagnosis
        n_agreeing = round(agreement * count)
        for index in range(count):
            cue = diagnosis if index < n_agreeing else 1 - diagnosis
            case = replace(sample_case(rng, diagnosis=name), setting=SETTINGS[cue])
            cases.append(_rendered(case, sample_phrasing(rng, split), diagnosis, cue))
    rng.shuffle(cases)
    return cases


def _rendered(case: Case, phrasing: Phrasing, diagnosis: int, cue: int) -> CuedCase:
    question = QUESTIONS["diagnosis"][phrasing.questions["diagnosis"]]
    without = replace(case, setting=None)
    template = f"{phrasing.style}.{phrasing.denial}.{phrasing.history}.{phrasing.questions['diagnosis']}"
    return CuedCase(
        render(case, phrasing).text + question, render(without, phrasing).text + question, diagnosis, cue, template
    )
