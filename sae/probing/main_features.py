"""The features that stand for a concept: those that a sparse probe for it gains by."""

import numpy as np
from sklearn.metrics import f1_score

from sae.probing.logistic_probe import fit_probe, standardised
from sae.probing.splits import TRAIN, VALIDATION

__all__ = ["main_features"]

MIN_GAIN = 0.03
MOST = 10


def main_features(features: list[np.ndarray], truth: list[np.ndarray]) -> tuple[int, ...]:
    """The feature whose mean rises most on the concept, and the next ones as long as each raises F1 by 0.03.

    Args:
        features: Activations of the training and the validation rows.
        truth: Which rows are of the concept.
    """
    train, is_so = features[TRAIN], truth[TRAIN]
    ranked = np.argsort(-(train[is_so].mean(0) - train[~is_so].mean(0)), kind="stable")[:MOST]
    best = _f1(features, truth, ranked[:1])
    n = 1
    while n < len(ranked):
        f1 = _f1(features, truth, ranked[: n + 1])
        if f1 < best + MIN_GAIN:
            break
        best, n = f1, n + 1
    return tuple(int(feature) for feature in ranked[:n])


def _f1(features: list[np.ndarray], truth: list[np.ndarray], chosen: np.ndarray) -> float:
    """F1 on validation of a probe that reads the chosen features."""
    own = [part[:, chosen] for part in features]
    to_units = standardised(own[TRAIN])
    probe = fit_probe(to_units(own[TRAIN]), truth[TRAIN], to_units(own[VALIDATION]), truth[VALIDATION])
    return float(f1_score(truth[VALIDATION], probe.scores(to_units(own[VALIDATION])) > 0, zero_division=0.0))
