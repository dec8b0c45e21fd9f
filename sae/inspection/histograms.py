"""Histograms of densities and activations."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from sae.inspection.activity import Activity
from sae.inspection.reports import Histogram

__all__ = ["activation_histogram", "density_histogram"]

ACTIVATION_BINS = 40
DENSITY_BINS_PER_DECADE = 5


def activation_histogram(values: Float[Tensor, " firings"]) -> Histogram:
    """Activations of a feature in equal steps from 0 to the largest; no step at all where there is none."""
    if len(values) == 0:
        return Histogram((0.0,), ())
    largest = float(values.max())
    counts = torch.histc(values, bins=ACTIVATION_BINS, min=0.0, max=largest)
    edges = (largest * torch.linspace(0, 1, ACTIVATION_BINS + 1, dtype=torch.float64)).tolist()
    return Histogram(tuple(edges), tuple(counts.long().tolist()))


def density_histogram(activity: Activity) -> Histogram:
    """Log10 of the density of all active features, from one token in all to every token."""
    lowest = math.floor(-math.log10(activity.n_tokens))
    n_bins = max(1, -lowest * DENSITY_BINS_PER_DECADE)
    density = activity.density[activity.fire_counts > 0]
    counts = torch.histc(density.log10(), bins=n_bins, min=min(lowest, -1), max=0)
    edges = torch.linspace(min(lowest, -1), 0, n_bins + 1, dtype=torch.float64).tolist()
    return Histogram(tuple(edges), tuple(counts.long().tolist()))
