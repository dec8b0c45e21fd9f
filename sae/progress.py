"""Progress for people: a bar with rate and remaining time on stderr, where that is a terminal."""

import sys
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

from tqdm import tqdm

__all__ = ["progress", "progress_counter"]

Item = TypeVar("Item")

QUIET_SECONDS = 2.0


def progress(items: Iterable[Item], description: str, *, unit: str = "it") -> Iterable[Item]:
    """`items` with a bar that appears after two seconds; nothing is shown where stderr is not a terminal."""
    total = len(items) if isinstance(items, Sequence) else None
    return tqdm(items, total=total, **_looks(description, unit))


def progress_counter(total: int | None, description: str, *, unit: str, done: int = 0) -> tqdm:
    """A bar to be moved on by `update(n)`, as a context manager; `set_postfix` shows figures beside it.

    Args:
        total: Where it ends, if that is known.
        description: What goes on.
        unit: What is counted; large counts are abbreviated.
        done: Where it begins, for work that is resumed.
    """
    return tqdm(total=total, initial=done, unit_scale=True, **_looks(description, unit))


def _looks(description: str, unit: str) -> dict[str, Any]:
    return {
        "desc": description,
        "unit": unit,
        "delay": QUIET_SECONDS,
        "leave": False,
        "file": sys.stderr,
        "disable": not sys.stderr.isatty(),
    }
