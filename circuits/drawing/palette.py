"""The two colours of a contribution's sign: blue and orange, which the colour-blind tell apart too."""

__all__ = ["SUPPORTS_FOIL", "SUPPORTS_TARGET", "faded", "sign_colour"]

SUPPORTS_TARGET = "#2468b4"
SUPPORTS_FOIL = "#c0530b"
FAINTEST = 0.15


def sign_colour(contribution: float) -> str:
    """The colour of a node or an edge as `#rrggbb`."""
    return SUPPORTS_FOIL if contribution < 0 else SUPPORTS_TARGET


def faded(colour: str, frequency: float | None) -> str:
    """What is left of a colour on white where a node was kept in this share of resamples; None is unknown: all of it.

    >>> faded("#000000", 0.0)
    '#d9d9d9'
    """
    opacity = 1.0 if frequency is None else FAINTEST + (1 - FAINTEST) * frequency
    channels = bytes.fromhex(colour[1:])
    return "#" + bytes(round(255 + opacity * (channel - 255)) for channel in channels).hex()
