"""E2: whether latents are needed for an answer and whether they suffice for it, by how many there are."""

from experiments.clinical_reasoning.analyses.necessity_sufficiency.measuring import measure
from experiments.clinical_reasoning.analyses.necessity_sufficiency.presenting import present

__all__ = ["measure", "present"]
