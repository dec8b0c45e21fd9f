"""What is true in the synthetic clinic: findings, diseases, drugs, and the rule that makes a diagnosis.

A diagnosis is the disease whose signature fits best: +1 for each of its findings that is present, -1.5 for
each that is denied. No finding alone decides, because each belongs to several diseases.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from itertools import combinations

from experiments.clinic import knowledge_tables as tables

__all__ = [
    "DISEASES",
    "DRUG_CLASSES",
    "EXCEPTIONS",
    "FINDINGS",
    "MIN_MARGIN",
    "PARENT_CATEGORY",
    "WITHHELD_PAIRS",
    "Disease",
    "Finding",
    "Measurement",
    "contradictory",
    "decide",
    "margin",
    "rivals",
    "score",
    "scores",
    "treatment",
    "withheld",
]

EXCEPTIONS = ("penicillin_allergy", "pregnancy", "renal_failure")
"""Conditions of a patient that may change the drug."""
DENIED_WEIGHT = 1.5
"""How much a denied finding counts against a disease, where a present one counts 1."""
MIN_MARGIN = 1.0
"""By how much the best score must beat the second for a diagnosis."""


@dataclass(frozen=True)
class Measurement:
    """A quantity that expresses a finding on one side of a threshold and denies it on the other."""

    quantity: str
    """With its article: ``a temperature``."""
    unit: str
    """Empty when the quantity is said without one."""
    is_above: bool
    """Whether the finding is present at `threshold` and above, or below it."""
    lowest: float
    threshold: float
    """Always a whole number, so that the integer part of a value decides."""
    highest: float
    decimals: int
    """Digits after the point."""

    def values(self, is_present: bool) -> tuple[float, ...]:
        """Every value that expresses the finding (or, if not `is_present`, denies it)."""
        scale = 10**self.decimals
        low, middle, high = (round(x * scale) for x in (self.lowest, self.threshold, self.highest))
        steps = range(middle, high + 1) if is_present == self.is_above else range(low, middle)
        return tuple(step / scale for step in steps)

    def is_present(self, value: float) -> bool:
        """Whether `value` expresses the finding."""
        return (value >= self.threshold) == self.is_above

    def number(self, value: float) -> str:
        """`value` with its unit: ``3.1 mg/dl``."""
        return f"{value:.{self.decimals}f} {self.unit}".rstrip()

    def phrase(self, value: float) -> str:
        """What a text says: ``a creatinine of 3.1 mg/dl``."""
        return f"{self.quantity} of {self.number(value)}"


@dataclass(frozen=True)
class Finding:
    """A symptom, sign or laboratory result."""

    name: str
    """Identifier, and the word used in concept labels (``pos:weight_loss``)."""
    system: str
    """Organ system, or ``body``."""
    seen: tuple[str, ...]
    """Phrases that vignettes use in every split; empty for a finding that is only ever measured."""
    unseen: tuple[str, ...]
    """Phrases that only the glossary and dedicated test cases use."""
    measurement: Measurement | None

    @property
    def title(self) -> str:
        """The finding in words: ``weight loss``."""
        return self.name.replace("_", " ")


@dataclass(frozen=True)
class Disease:
    """A disease with everything that a text may say about it."""

    name: str
    system: str
    category: str
    test: str
    mechanism: str
    signature: tuple[str, ...]
    """Names of its five findings; the last two are the withheld pair."""
    drug: str
    exceptions: dict[str, str]
    """Drug to give instead, by condition of the patient."""


def _rows(table: str, separator: str = "|") -> Iterable[list[str]]:
    for line in table.strip().splitlines():
        yield [cell.strip() for cell in line.split(separator)]


def _read_measurements() -> dict[str, Measurement]:
    measurements = {}
    for finding, quantity, unit, side, limits in _rows(tables.MEASUREMENTS):
        lowest, threshold, highest = (float(limit) for limit in limits.split(","))
        is_above = side == "above"
        measurements[finding] = Measurement(
            quantity, unit, is_above, lowest, threshold, highest, decimals=1 if "." in limits else 0
        )
    return measurements


def _read_findings() -> dict[str, Finding]:
    measurements = _read_measurements()
    findings = {}
    for name, system, seen, unseen in _rows(tables.FINDINGS):
        phrases = tuple(phrase.strip() for phrase in seen.split(",") if phrase)
        findings[name] = Finding(name, system, phrases, (unseen,) if unseen else (), measurements.get(name))
    return findings


def _read_diseases() -> dict[str, Disease]:
    signatures = {name: tuple(findings.split()) for name, findings in _rows(tables.SIGNATURES, ":")}
    treatments = {name: drugs for name, *drugs in _rows(tables.TREATMENTS)}
    diseases = {}
    for name, system, category, test, mechanism in _rows(tables.DISEASES):
        drug, *others = treatments[name]
        exceptions = {exception: other for exception, other in zip(EXCEPTIONS, others, strict=True) if other}
        diseases[name] = Disease(name, system, category, test, mechanism, signatures[name], drug, exceptions)
    return diseases


FINDINGS = _read_findings()
DISEASES = _read_diseases()
DRUG_CLASSES = {drug: name for name, drugs in _rows(tables.DRUG_CLASSES, ":") for drug in drugs.split()}
"""The class of each drug."""
PARENT_CATEGORY: dict[str, str] = dict(_rows(tables.CATEGORIES))
"""``viral infection`` is an ``infection``."""
WITHHELD_PAIRS = {name: frozenset(disease.signature[-2:]) for name, disease in DISEASES.items()}
"""For each disease two of its findings that never occur together, as present, in a training case."""

_DISEASES_WITH = {
    finding: tuple(name for name, disease in DISEASES.items() if finding in disease.signature) for finding in FINDINGS
}
_WITHHELD = frozenset(WITHHELD_PAIRS.values())
_OPPOSITES = tuple(frozenset(pair) for pair in _rows(tables.OPPOSITES))


def scores(present: Iterable[str], denied: Iterable[str]) -> dict[str, float]:
    """Score of each disease that has at least one of the findings; every other disease scores 0."""
    totals: dict[str, float] = {}
    for findings, weight in ((present, 1.0), (denied, -DENIED_WEIGHT)):
        for finding in findings:
            for disease in _DISEASES_WITH[finding]:
                totals[disease] = totals.get(disease, 0.0) + weight
    return totals


def score(disease: str, present: Iterable[str], denied: Iterable[str]) -> float:
    """How well the findings fit `disease`: #present in its signature - 1.5 #denied in its signature."""
    return scores(present, denied).get(disease, 0.0)


def _lead(disease: str, totals: dict[str, float]) -> float:
    return totals.get(disease, 0.0) - max(totals.get(other, 0.0) for other in DISEASES if other != disease)


def margin(disease: str, present: Iterable[str], denied: Iterable[str]) -> float:
    """Score of `disease` minus the best score of another disease; negative if another fits better."""
    return _lead(disease, scores(present, denied))


def decide(present: Collection[str], denied: Collection[str]) -> str | None:
    """The disease that fits best by a margin of at least 1, or None when the findings leave it open."""
    totals = scores(present, denied)
    best = max(totals, key=totals.__getitem__, default=None)
    return best if best is not None and _lead(best, totals) >= MIN_MARGIN else None


def treatment(diagnosis: str, exception: str | None) -> str:
    """The drug for `diagnosis` in a patient with the condition `exception` (one of `EXCEPTIONS`, or None)."""
    disease = DISEASES[diagnosis]
    return disease.drug if exception is None else disease.exceptions.get(exception, disease.drug)


def withheld(present: Iterable[str]) -> bool:
    """Whether two of the findings form a withheld pair."""
    return any(frozenset(pair) in _WITHHELD for pair in combinations(present, 2))


def contradictory(present: Collection[str]) -> bool:
    """Whether two of the findings cannot be present at once, such as weight loss and weight gain."""
    return any(pair.issubset(present) for pair in _OPPOSITES)


def rivals(disease: str) -> tuple[str, ...]:
    """The diseases that share at least two findings with `disease`."""
    signature = set(DISEASES[disease].signature)
    return tuple(
        name for name, other in DISEASES.items() if name != disease and len(signature & set(other.signature)) >= 2
    )
