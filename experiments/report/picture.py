"""Figures of matplotlib as SVG text, the same bytes for the same figure."""

import io
from typing import Any

__all__ = ["svg_of"]


def svg_of(figure: Any) -> str:
    """The figure as SVG, with text as text, closed afterwards."""
    import matplotlib as mpl
    from matplotlib import pyplot

    buffer = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": "domain-circuits", "svg.fonttype": "none"}):
        figure.savefig(buffer, format="svg", bbox_inches="tight", metadata={"Date": None})
    pyplot.close(figure)
    # lines end without spaces, so that the file can be kept under version control
    return "\n".join(line.rstrip() for line in buffer.getvalue().splitlines()) + "\n"
