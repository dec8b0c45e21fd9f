"""Measurements as the terminal shows them: two decimals, with or without their interval."""

from sae.measurement import Measurement

__all__ = ["plain", "with_interval"]


def plain(measurement: Measurement) -> str:
    """The value, or nothing where there is none."""
    return "" if measurement.value is None else f"{measurement.value:.2f}"


def with_interval(measurement: Measurement) -> str:
    """The value and, where it has one, its interval in brackets."""
    if measurement.value is None or measurement.low is None:
        return plain(measurement)
    return f"{measurement.value:.2f} [{measurement.low:.2f}, {measurement.high:.2f}]"
