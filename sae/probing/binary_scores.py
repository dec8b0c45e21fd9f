"""F1, AUROC and balanced accuracy of one binary classifier, for any resample of its documents."""

import torch
from jaxtyping import Bool, Float64
from torch import Tensor

__all__ = ["METRICS", "always_yes_f1", "area_under_roc", "binary_scores"]

METRICS = ("f1", "auroc", "balanced_accuracy")


def binary_scores(
    scores: Float64[Tensor, " documents"], truth: Bool[Tensor, " documents"], counts: Float64[Tensor, "draws documents"]
) -> dict[str, Float64[Tensor, " draws"]]:
    """Every metric with each document counted as often as `counts` says; NaN where a draw lacks one of the classes.

    Args:
        scores: Yes where above 0.
        truth: What is so.
        counts: One row a draw.
    """
    positives, negatives = truth.double(), (~truth).double()
    said = (scores > 0).double()
    n_positive, n_negative = counts @ positives, counts @ negatives
    true_positives, false_positives = counts @ (said * positives), counts @ (said * negatives)
    found = {
        "f1": 2 * true_positives / (n_positive + true_positives + false_positives),
        "auroc": area_under_roc(scores, truth, counts),
        "balanced_accuracy": (true_positives / n_positive + 1 - false_positives / n_negative) / 2,
    }
    defined = (n_positive > 0) & (n_negative > 0)
    return {name: torch.where(defined, value, torch.nan) for name, value in found.items()}


def area_under_roc(
    scores: Float64[Tensor, " documents"], truth: Bool[Tensor, " documents"], counts: Float64[Tensor, "draws documents"]
) -> Float64[Tensor, " draws"]:
    """The chance that a positive scores above a negative, ties counted half (Hanley & McNeil 1982)."""
    ordered, order = scores.sort(stable=True)
    weights, is_positive = counts[:, order], truth[order]
    below = torch.nn.functional.pad((weights * ~is_positive).cumsum(1), (1, 0))
    first = torch.searchsorted(ordered, ordered, right=False)
    last = torch.searchsorted(ordered, ordered, right=True)
    beaten = (below[:, first] + below[:, last]) / 2
    pairs = (counts @ truth.double()) * (counts @ (~truth).double())
    return (weights * is_positive * beaten).sum(1) / pairs


def always_yes_f1(share: float) -> float:
    """F1 of saying yes to every document, where a share of them is positive."""
    return 2 * share / (1 + share)
