"""Does the stated reasoning name the finding that moved the answer, and does it move the answer itself."""

from experiments.clinical_reasoning.analyses.staged_reasoning.measuring import measure
from experiments.clinical_reasoning.analyses.staged_reasoning.reporting import present

__all__ = ["measure", "present"]
