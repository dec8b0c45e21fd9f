"""Scores of explanations that are rules: no judge is needed, and the rule sees the text only."""

from dataclasses import dataclass

from jaxtyping import Bool
from torch import Tensor

from sae.interpretation.detection_score import DetectionScore, detection_score
from sae.interpretation.roles import Role
from sae.interpretation.sampling import Sample
from sae.interpretation.windows import TextWindows

__all__ = ["AtDensity", "rule_at_density", "rule_detection", "rule_sensitivity"]

FEWEST_FRESH = 10
"""Fresh windows that a rule must match before its sensitivity is told."""


@dataclass(frozen=True)
class AtDensity:
    """A rule on all score windows, positives as rare as they are.

    Attributes:
        f1: 2 hits / (active windows + windows that the rule calls active).
        always_yes_f1: The same of calling all active.
        positive_share: Share of the windows in which the feature is active.
        n: Windows.
    """

    f1: float | None
    always_yes_f1: float | None
    positive_share: float
    n: int


def rule_detection(sample: Sample, called: Bool[Tensor, " windows"]) -> DetectionScore:
    """A rule that calls some windows active, on the examples of a sample."""
    predictions = [bool(called[each.window]) for each in sample.examples]
    return detection_score(sample.examples, predictions, density=sample.density)


def rule_at_density(windows: TextWindows, feature: int, called: Bool[Tensor, " windows"]) -> AtDensity:
    """A rule that calls some windows active, on every score window."""
    inside = windows.has_role(Role.SCORE)
    active = windows.strongest(feature)[inside] > 0
    n, n_active, n_called = len(active), int(active.sum()), int(called[inside].sum())
    hits = int((active & called[inside]).sum())
    return AtDensity(
        f1=2 * hits / (n_active + n_called) if n_active else None,
        always_yes_f1=2 * n_active / (n_active + n) if n_active else None,
        positive_share=n_active / n,
        n=n,
    )


def rule_sensitivity(windows: TextWindows, feature: int, called: Bool[Tensor, " windows"]) -> float | None:
    """Share of the fresh windows that fit an explanation in which the feature is active.

    The mirror of detection: a feature that is active on a part only of what its explanation says has a low one.

    Returns:
        None where fewer than `FEWEST_FRESH` fresh windows fit.

    Source: "Measuring Sparse Autoencoder Feature Sensitivity", arXiv 2509.23717; there a language model writes the
    fresh texts, here the corpus generates them.
    """
    fits = called & windows.has_role(Role.FRESH)
    if int(fits.sum()) < FEWEST_FRESH:
        return None
    return float((windows.strongest(feature)[fits] > 0).double().mean())
