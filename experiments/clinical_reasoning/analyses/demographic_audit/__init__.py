"""E6: what mentions of age, sex and place do to the answer, which latents carry it, and what taking them away costs."""

from experiments.clinical_reasoning.analyses.demographic_audit.measuring import measure
from experiments.clinical_reasoning.analyses.demographic_audit.presenting import present

__all__ = ["measure", "present"]
