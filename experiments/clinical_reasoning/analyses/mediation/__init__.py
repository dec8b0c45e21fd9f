"""E1: what carries the effect of one changed finding: latents, SAE errors, the whole activation, or anything at all."""

from experiments.clinical_reasoning.analyses.mediation.measuring import measure
from experiments.clinical_reasoning.analyses.mediation.presenting import present

__all__ = ["measure", "present"]
