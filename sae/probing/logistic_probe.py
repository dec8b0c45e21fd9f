"""A linear probe: logistic regression whose regularisation is chosen on other documents than it is fitted on."""

import warnings
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score

__all__ = ["INVERSE_PENALTIES", "Probe", "Standardised", "fit_probe", "standardised"]

INVERSE_PENALTIES = (0.01, 0.1, 1.0, 10.0)
MAX_ITERATIONS = 300
Matrix: TypeAlias = Any
"""Rows as an array or, of words, as a sparse matrix."""


@dataclass(frozen=True, eq=False)
class Standardised:
    """Columns with mean 0 and variance 1 on the training rows; a column that is constant there becomes 0."""

    mean: np.ndarray
    scale: np.ndarray

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """The rows in those units."""
        return (x - self.mean) / self.scale


def standardised(train: np.ndarray) -> Standardised:
    """The units of some training rows."""
    spread = train.std(0)
    return Standardised(train.mean(0), np.where(spread > 0, spread, np.inf))


@dataclass(frozen=True, eq=False)
class Probe:
    """A fitted probe.

    Attributes:
        model: The logistic regression, classes weighted to count alike.
        inverse_penalty: Its C.
    """

    model: LogisticRegression
    inverse_penalty: float

    def scores(self, x: Matrix) -> np.ndarray:
        """Log-odds; the probe says yes above 0."""
        found: np.ndarray = self.model.decision_function(x)
        return found


def fit_probe(train: Matrix, y_train: np.ndarray, validation: Matrix, y_validation: np.ndarray) -> Probe:
    """Fit with each penalty and keep the one with the best balanced accuracy on validation, the strongest if equal.

    Args:
        train: One row a document.
        y_train: Its class; both must occur.
        validation: Rows that the penalty is chosen on.
        y_validation: Their classes.
    """
    best: tuple[float, Probe] | None = None
    for inverse_penalty in INVERSE_PENALTIES:
        model = _fitted(train, y_train, inverse_penalty)
        accuracy = balanced_accuracy_score(y_validation, model.predict(validation))
        if best is None or accuracy > best[0]:
            best = accuracy, Probe(model, inverse_penalty)
    assert best is not None
    return best[1]


def _fitted(x: Matrix, y: np.ndarray, inverse_penalty: float) -> Any:
    model = LogisticRegression(C=inverse_penalty, class_weight="balanced", max_iter=MAX_ITERATIONS)
    with warnings.catch_warnings():
        # weights that still grow where the classes can be separated do not change what the probe says
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(x, y)
