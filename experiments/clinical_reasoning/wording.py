"""Measured numbers in sentences, and what their intervals allow to be said."""

from collections.abc import Mapping

from experiments.report.wording import figure_of, interval_of
from sae.measurement import Measurement

__all__ = ["against_nulls", "said"]


def said(measured: Measurement) -> str:
    """The value and its interval, such as `0.82 (0.74 to 0.88)`."""
    interval = interval_of(measured)
    return f"{figure_of(measured)} ({interval})" if interval else figure_of(measured)


def against_nulls(measured: Measurement, nulls: Mapping[str, Measurement]) -> str:
    """Whether a number lies above its nulls, by intervals that do not meet: a clause for the end of a sentence."""
    named = ", ".join(f"{name} {said(null)}" for name, null in nulls.items())
    if measured.low is None or any(null.high is None for null in nulls.values()):
        return f"too few templates for an interval to tell it from its nulls ({named})"
    unclear = [name for name, null in nulls.items() if null.high is not None and null.high >= measured.low]
    if unclear:
        return f"not told apart from {' and '.join(unclear)} (nulls: {named})"
    return f"above every null ({named})"
