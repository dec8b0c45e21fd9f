"""Cases of the synthetic clinic: who the patient is, what is present and denied, and which finding decides.

A case holds facts only; `phrasing` and `vignettes` put it into words.
"""

import random
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace
from functools import cache

from experiments.clinic.knowledge import (
    DISEASES,
    EXCEPTIONS,
    FINDINGS,
    MIN_MARGIN,
    contradictory,
    decide,
    margin,
    rivals,
    treatment,
    withheld,
)

__all__ = [
    "COMBINATIONS",
    "Case",
    "Contrast",
    "contrast_cases",
    "decisive",
    "rules_out",
    "sample_case",
    "single_changes",
]

COMBINATIONS = ("seen", "withheld", "all")
"""``seen``: no withheld pair; ``withheld``: the pair of the diagnosis is present; ``all``: either."""

Findings = tuple[list[str], list[str]]
"""Present and denied findings."""

AGES = ("young", "middle-aged", "old")
SEXES = ("man", "woman")
SETTINGS = ("clinic", "ward", "emergency department")
RELATIVES = ("mother", "father", "sister", "brother")
NEUTRAL_HISTORY = (
    "smoking",
    "cataract surgery",
    "hearing loss",
    "flat feet",
    "tonsillectomy",
    "hernia repair",
)

P_RIVAL = 0.12
"""How often a case is built so that only a denied finding separates two diseases."""
P_MEASURED = 0.5
"""How often a finding that has both words and a measurement is measured."""
P_CLEAR = 0.12
"""How often a case is kept although no single finding of it is decisive."""


@dataclass(frozen=True)
class Case:
    """One patient: the facts behind a vignette."""

    diagnosis: str
    present: tuple[str, ...]
    """Findings that the patient has, in the order of mention."""
    denied: tuple[str, ...]
    """Findings that the patient is said not to have, in the order of mention."""
    values: dict[str, float] = field(default_factory=dict)
    """The findings among both that are told by a measurement, in the order of mention."""
    exception: str | None = None
    """A condition that may change the drug, one of `EXCEPTIONS`."""
    sex: str = "woman"
    age: str = "young"
    setting: str | None = None
    neutral_history: str | None = None
    family: tuple[str, str] | None = None
    """A relative and the disease that the relative had; it does not count for the diagnosis."""

    @property
    def drug(self) -> str:
        """The right drug for the diagnosis in this patient."""
        return treatment(self.diagnosis, self.exception)

    @property
    def exception_decides(self) -> bool:
        """Whether the patient's condition changes the drug."""
        return self.exception in DISEASES[self.diagnosis].exceptions

    @property
    def negation_decides(self) -> bool:
        """Whether the diagnosis is another or open without the denied findings."""
        return decide(self.present, ()) != self.diagnosis

    @property
    def numeric_decides(self) -> bool:
        """Whether a measured finding is decisive."""
        return any(finding in self.values for finding in decisive(self))

    @property
    def has_distractor(self) -> bool:
        """Whether it mentions a relative's disease, or a finding outside the signature is present."""
        signature = DISEASES[self.diagnosis].signature
        return self.family is not None or any(finding not in signature for finding in self.present)


@dataclass(frozen=True)
class Contrast:
    """A case that differs in one finding, and therefore in its diagnosis."""

    case: Case
    changed_from: str
    """The finding before; equal to `changed_to` if a measured value crossed its threshold."""
    changed_to: str


def decisive(case: Case) -> tuple[str, ...]:
    """The findings, present or denied, without which the diagnosis would be open or another."""
    needed_present = (
        f for f in case.present if decide([g for g in case.present if g != f], case.denied) != case.diagnosis
    )
    needed_denied = (
        f for f in case.denied if decide(case.present, [g for g in case.denied if g != f]) != case.diagnosis
    )
    return (*needed_present, *needed_denied)


@cache
def _rivals(disease: str) -> tuple[str, ...]:
    return rivals(disease)


@cache
def _misleading(disease: str) -> tuple[str, ...]:
    """Findings of the rivals of `disease` that it does not have itself: worth denying."""
    signature = DISEASES[disease].signature
    findings = {finding: None for rival in _rivals(disease) for finding in DISEASES[rival].signature}
    return tuple(finding for finding in findings if finding not in signature)


@cache
def _foreign(disease: str) -> tuple[str, ...]:
    return tuple(finding for finding in FINDINGS if finding not in DISEASES[disease].signature)


def _draw_negation_case(rng: random.Random, diagnosis: str) -> Findings:
    """Findings that a rival shares, and the denial of one that only the rival has."""
    signature = DISEASES[diagnosis].signature
    rival = DISEASES[rng.choice(_rivals(diagnosis))].signature
    present = [finding for finding in signature if finding in rival]
    denied = rng.sample([finding for finding in rival if finding not in signature], rng.choice((1, 1, 2)))
    return present, denied


def _draw_findings(rng: random.Random, diagnosis: str, combinations: str) -> Findings:
    """Present and denied findings that may or may not lead to `diagnosis`."""
    signature = DISEASES[diagnosis].signature
    if combinations != "withheld" and rng.random() < P_RIVAL:
        return _draw_negation_case(rng, diagnosis)
    if combinations == "withheld":
        pair, others = signature[-2:], signature[:-2]
        present = [*pair, *rng.sample(others, rng.choice((0, 1, 1, 2)))]
    else:
        present = rng.sample(signature, rng.choice((2, 3, 3, 4, 4)))
    if rng.random() < 0.4:
        present.append(rng.choice(_foreign(diagnosis)))
    candidates = [finding for finding in _misleading(diagnosis) if finding not in present]
    denied = rng.sample(candidates, min(len(candidates), rng.choice((0, 1, 1, 2))))
    return present, denied


def _draw_values(rng: random.Random, present: list[str], denied: list[str]) -> dict[str, float]:
    """Measured values, spread evenly over the side of the threshold on which each finding must lie."""
    values = {}
    for finding in rng.sample(present + denied, len(present) + len(denied)):
        measurement = FINDINGS[finding].measurement
        if measurement is not None and (not FINDINGS[finding].seen or rng.random() < P_MEASURED):
            values[finding] = rng.choice(measurement.values(finding in present))
    return values


def _draw_exception(rng: random.Random, diagnosis: str, denied: list[str]) -> str | None:
    relevant = tuple(DISEASES[diagnosis].exceptions)
    draw = rng.random()
    if draw >= 0.5:
        return None
    exception = rng.choice(relevant if relevant and draw < 0.4 else EXCEPTIONS)
    return None if rules_out(denied, exception) else exception


def rules_out(denied: Collection[str], exception: str | None) -> bool:
    """Whether the denied findings rule a condition out: nobody in renal failure has a normal creatinine."""
    return exception == "renal_failure" and "raised_creatinine" in denied


def _is_usable(rng: random.Random, diagnosis: str, present: list[str], denied: list[str]) -> bool:
    """Whether the findings lead to `diagnosis`, mostly by a margin that one finding can undo."""
    lead = margin(diagnosis, present, denied)
    if lead < MIN_MARGIN or contradictory(present):
        return False
    return lead < MIN_MARGIN + 1 or rng.random() < P_CLEAR


def sample_case(rng: random.Random, *, combinations: str = "seen", diagnosis: str | None = None) -> Case:
    """Draw a case whose findings decide its diagnosis.

    Args:
        rng: Source of all randomness.
        combinations: Whether the present findings may, must or must not contain a withheld pair.
        diagnosis: The disease; drawn uniformly if None.

    Raises:
        ValueError: If `combinations` is unknown.
    """
    if combinations not in COMBINATIONS:
        raise ValueError(f"combinations must be one of {', '.join(COMBINATIONS)}, got {combinations!r}")
    diagnosis = diagnosis or rng.choice(tuple(DISEASES))
    while True:
        present, denied = _draw_findings(rng, diagnosis, combinations)
        if combinations == "seen" and withheld(present):
            continue
        if not _is_usable(rng, diagnosis, present, denied):
            continue
        values = _draw_values(rng, present, denied)
        if any(finding not in values for finding in present):
            break
    rng.shuffle(present)
    rng.shuffle(denied)
    exception = _draw_exception(rng, diagnosis, denied)
    is_pregnant = exception == "pregnancy"
    return Case(
        diagnosis,
        tuple(present),
        tuple(denied),
        values,
        exception,
        sex="woman" if is_pregnant else rng.choice(SEXES),
        age=rng.choice(AGES[:2] if is_pregnant else AGES),
        setting=rng.choice(SETTINGS) if rng.random() < 0.3 else None,
        neutral_history=rng.choice(NEUTRAL_HISTORY) if rng.random() < 0.2 else None,
        family=_draw_family(rng, diagnosis) if rng.random() < 0.3 else None,
    )


def _draw_family(rng: random.Random, diagnosis: str) -> tuple[str, str]:
    return rng.choice(RELATIVES), rng.choice([name for name in DISEASES if name != diagnosis])


def _swapped(findings: tuple[str, ...], old: str, new: str) -> tuple[str, ...]:
    return tuple(new if finding == old else finding for finding in findings)


def _swaps(case: Case) -> Iterator[tuple[Case, str, str]]:
    """Every case with one finding told in words replaced by another of the same polarity."""
    mentioned = (*case.present, *case.denied)
    new_findings = [name for name, finding in FINDINGS.items() if finding.seen and name not in mentioned]
    for old in (finding for finding in mentioned if finding not in case.values):
        for new in new_findings:
            present, denied = _swapped(case.present, old, new), _swapped(case.denied, old, new)
            yield replace(case, present=present, denied=denied), old, new


def _crossings(case: Case) -> Iterator[tuple[Case, str, str]]:
    """Every case with one measured value moved across its threshold, at several new values."""
    for finding in case.values:
        was_present = finding in case.present
        if was_present:
            present, denied = tuple(f for f in case.present if f != finding), (*case.denied, finding)
        else:
            present, denied = (*case.present, finding), tuple(f for f in case.denied if f != finding)
        if rules_out(denied, case.exception):
            continue
        measurement = FINDINGS[finding].measurement
        assert measurement is not None
        others = measurement.values(not was_present)
        for new_value in others[:: max(1, len(others) // 10)]:
            values = {**case.values, finding: new_value}
            yield replace(case, present=present, denied=denied, values=values), finding, finding


def single_changes(case: Case) -> Iterator[tuple[Case, str, str]]:
    """Every case that differs from `case` in one finding, with that finding before and after; equal for a value.

    The one difference is a finding told in words (another of the same polarity takes its place in the order),
    or a measured value on the other side of its threshold. All else, distractors included, stays, and so does what is
    said to be the diagnosis, whether or not the findings still decide for it.
    """
    changes = (*_swaps(case), *_crossings(case))
    return (change for change in changes if not contradictory(change[0].present))


def contrast_cases(case: Case) -> list[Contrast]:
    """All cases that differ from `case` in one finding, as `single_changes` has it, and have another diagnosis."""
    contrasts = []
    for changed, old, new in single_changes(case):
        diagnosis = decide(changed.present, changed.denied)
        if diagnosis not in (None, case.diagnosis):
            contrasts.append(Contrast(replace(changed, diagnosis=diagnosis), old, new))
    return contrasts
