"""Wrong answers steered right: how many, and at the price of how many right ones."""

from experiments.clinical_reasoning.analyses.correction.measuring import measure
from experiments.clinical_reasoning.analyses.correction.reporting import present

__all__ = ["measure", "present"]
