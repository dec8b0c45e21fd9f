"""E5: does the answer, and a latent that mediates it, follow a measured value that is swept over its range."""

from experiments.clinical_reasoning.analyses.dose_response.measuring import measure
from experiments.clinical_reasoning.analyses.dose_response.presenting import present

__all__ = ["measure", "present"]
