"""The analyses that there are: what each is about, how large it is, and where its code lies."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Protocol, cast, runtime_checkable

from experiments.clinical_reasoning.subject import Subject
from experiments.report.contents import Section

__all__ = ["ANALYSES", "Analysis", "AnalysisCode", "NothingToAnalyseError", "Presented"]


class NothingToAnalyseError(ValueError):
    """A subject has no case for an analysis; the message says what is missing. The report says so, and goes on."""


@dataclass(frozen=True)
class Presented:
    """What a report says of an analysis.

    Attributes:
        section: Tables and figures.
        findings: What came out, a sentence each; also what contradicts the claim.
    """

    section: Section
    findings: tuple[str, ...]


@runtime_checkable
class AnalysisCode(Protocol):
    """The module of an analysis."""

    def measure(self, subject: Subject, *, size: int, seed: int) -> dict[str, Any]:
        """What was found, as JSON: raw enough that `present` needs no model.

        Raises:
            NothingToAnalyseError: The subject has no case for it, such as no pair that the model answers right.
        """

    def present(self, record: Mapping[str, Any]) -> Presented:
        """The record for people."""


@dataclass(frozen=True)
class Analysis:
    """One question about a model.

    Attributes:
        name: Short; of its record too.
        title: For people.
        module: Its code, see `AnalysisCode`.
        size: How many units it takes by default.
        unit: What they are.
        needs_clinic: Whether it asks for more than pairs: only the synthetic clinic can tell.
    """

    name: str
    title: str
    module: str
    size: int
    unit: str
    needs_clinic: bool = False

    @property
    def code(self) -> AnalysisCode:
        """Imported when it is needed."""
        return cast(AnalysisCode, import_module(self.module))


ANALYSES: tuple[Analysis, ...] = (
    Analysis(
        "mediation",
        "Do latents carry what a changed finding does to the answer?",
        "experiments.clinical_reasoning.analyses.mediation",
        size=100,
        unit="pairs",
    ),
    Analysis(
        "necessity-sufficiency",
        "Are the latents needed for the answer, and are they enough?",
        "experiments.clinical_reasoning.analyses.necessity_sufficiency",
        size=40,
        unit="pairs",
    ),
    Analysis(
        "dose-response",
        "Do the answer and a latent follow a measured value?",
        "experiments.clinical_reasoning.analyses.dose_response",
        size=60,
        unit="series",
        needs_clinic=True,
    ),
    Analysis(
        "demographic-audit",
        "What do mentions that must not matter do?",
        "experiments.clinical_reasoning.analyses.demographic_audit",
        size=90,
        unit="pairs of each mention",
    ),
    Analysis(
        "ground-truth",
        "Circuits against the known cause",
        "experiments.clinical_reasoning.analyses.ground_truth",
        80,
        "cases",
        needs_clinic=True,
    ),
    Analysis(
        "shift",
        "A shortcut removed by its named features (SHIFT)",
        "experiments.clinical_reasoning.analyses.shift",
        160,
        "training cases a pair of diagnoses",
        needs_clinic=True,
    ),
    Analysis(
        "correction",
        "Wrong answers steered right",
        "experiments.clinical_reasoning.analyses.correction",
        500,
        "cases a population",
        needs_clinic=True,
    ),
    Analysis(
        "staged-reasoning",
        "Does the stated reasoning tell what moved the answer",
        "experiments.clinical_reasoning.analyses.staged_reasoning",
        600,
        "pairs",
        needs_clinic=True,
    ),
)
