"""Numbers as people read them."""

from sae.measurement import Measurement

__all__ = ["figure_of", "interval_of", "number"]

MINUS = "\N{MINUS SIGN}"


def number(value: float) -> str:
    """Three significant digits, no more than three decimals, and a true minus sign."""
    size = abs(value)
    if size and size < 0.0005:
        text = f"{value:.0e}"
    elif size < 1000:
        text = f"{value:.3f}" if size < 1 else f"{value:.3g}"
    else:
        text = f"{value:,.0f}"
    return text.replace("-", MINUS)


def figure_of(measured: Measurement) -> str:
    """The value with its unit, or a dash."""
    if measured.value is None:
        return "\N{EM DASH}"
    return f"{number(measured.value)} {measured.unit}".strip()


def interval_of(measured: Measurement) -> str:
    """Both ends of the interval, or nothing."""
    if measured.low is None or measured.high is None:
        return ""
    return f"{number(measured.low)} to {number(measured.high)}"
