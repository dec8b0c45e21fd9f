"""Circuits against the truth: do they name what causes the model's answer, for every basis and method."""

from experiments.clinical_reasoning.analyses.ground_truth.measuring import measure
from experiments.clinical_reasoning.analyses.ground_truth.presenting import present

__all__ = ["measure", "present"]
