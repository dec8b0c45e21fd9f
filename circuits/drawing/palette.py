"""The two colours of a contribution's sign: blue and orange, which the colour-blind tell apart too."""

__all__ = ["SUPPORTS_FOIL", "SUPPORTS_TARGET", "sign_colour"]

SUPPORTS_TARGET = "#2468b4"
SUPPORTS_FOIL = "#d9691a"


def sign_colour(contribution: float) -> str:
    """The colour of a node or an edge as `#rrggbb`."""
    return SUPPORTS_FOIL if contribution < 0 else SUPPORTS_TARGET
