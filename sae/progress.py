"""Progress for people: a bar with rate and remaining time on stderr, where that is a terminal."""

import sys
from collections.abc import Iterable, Sequence
from typing import TypeVar

from tqdm import tqdm

__all__ = ["progress"]

Item = TypeVar("Item")

QUIET_SECONDS = 2.0


def progress(items: Iterable[Item], description: str, *, unit: str = "it") -> Iterable[Item]:
    """`items` with a bar that appears after two seconds; nothing is shown where stderr is not a terminal."""
    total = len(items) if isinstance(items, Sequence) else None
    return tqdm(
        items,
        desc=description,
        total=total,
        unit=unit,
        delay=QUIET_SECONDS,
        leave=False,
        file=sys.stderr,
        disable=not sys.stderr.isatty(),
    )
