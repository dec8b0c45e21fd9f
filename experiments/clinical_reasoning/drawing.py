"""What the figures of the analyses have in common; the colours are those of the other reports."""

from collections.abc import Sequence

import numpy as np

from sae.measurement import Measurement

__all__ = ["NULL_COLOUR", "NULL_MARKS", "whiskers"]

NULL_COLOUR = "#999999"
NULL_MARKS = ("o", "x", "^", "s", "v")


def whiskers(cells: Sequence[Measurement]) -> np.ndarray:
    """How far each interval reaches below and above its value, as matplotlib's `yerr`; 0 where there is none."""
    reach = [
        (0.0, 0.0)
        if cell.value is None or cell.low is None or cell.high is None
        else (max(0.0, cell.value - cell.low), max(0.0, cell.high - cell.value))
        for cell in cells
    ]
    return np.array(reach).reshape(-1, 2).T
