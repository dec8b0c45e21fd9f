"""A shortcut that a probe learned, removed by the named features of the cue (SHIFT)."""

from experiments.clinical_reasoning.analyses.shift.measuring import measure
from experiments.clinical_reasoning.analyses.shift.reporting import present

__all__ = ["measure", "present"]
