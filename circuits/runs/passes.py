"""Many rows through the model, as many at a time as memory takes."""

from collections.abc import Callable
from typing import TypeVar

import torch
from jaxtyping import Int
from torch import Tensor

__all__ = ["in_passes"]

Result = TypeVar("Result")

OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "not enough memory")
"""What torch's errors say, on a GPU and on a processor."""


def in_passes(n_rows: int, size: int, run: Callable[[Int[Tensor, " rows"]], Result]) -> list[Result]:
    """`run` on the indices 0 to n_rows - 1, a few at a time, in order.

    Where memory does not suffice for a pass, it is run again with half as many rows, and so are those that follow.

    Args:
        n_rows: How many there are.
        size: Rows of the first pass at most, at least 1.
        run: Takes the indices of its rows.

    Raises:
        RuntimeError: Memory does not suffice for a single row.
    """
    results, start = [], 0
    while start < n_rows:
        rows = torch.arange(start, min(start + size, n_rows))
        try:
            results.append(run(rows))
        except RuntimeError as error:
            if len(rows) == 1 or not any(words in str(error).lower() for words in OUT_OF_MEMORY):
                raise
            size = (len(rows) + 1) // 2
            continue
        start += len(rows)
    return results
