"""The analyses that there are: what each is about, how large it is, and where its code lies."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Protocol, cast, runtime_checkable

from experiments.clinical_reasoning.subject import Subject
from experiments.report.contents import Section

__all__ = ["ANALYSES", "Analysis", "AnalysisCode", "Presented"]


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
            ValueError: The subject has nothing to analyse, such as no pair that the model answers right.
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


ANALYSES: tuple[Analysis, ...] = ()
