"""Circuits against the truth: do they name what causes the model's answer, for every basis and method."""

from experiments.clinical_reasoning.analyses.ground_truth.measuring import measure

__all__ = ["measure"]
