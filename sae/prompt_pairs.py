"""Pairs of prompts that differ in what is studied, as lines of JSON.

A line has `clean_prefix`, `patch_prefix`, `clean_answer` and `patch_answer`; optionally `spans`, which name parts of
the clean prefix by their first character and the one after their last, and `template`, the pattern that the pair was
made from.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["Pair", "read_pairs"]

TEXTS = ("clean_prefix", "patch_prefix", "clean_answer", "patch_answer")


@dataclass(frozen=True)
class Pair:
    """Two prompts of equal token length with different answers."""

    clean_prefix: str
    patch_prefix: str
    clean_answer: str
    patch_answer: str
    spans: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """First character and the one after the last, in `clean_prefix`; in reading order."""
    template: str | None = None
    line: int = 0
    """In the file, from 1."""


def read_pairs(path: Path) -> list[Pair]:
    """The pairs of a file, in its order; blank lines are skipped.

    Raises:
        ValueError: The file cannot be read, holds no pair, or a line lacks a field; the line is named.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"pairs file {str(path)!r} cannot be read ({error}); expected lines of JSON") from error
    pairs = [_pair_of(line, number, path) for number, line in enumerate(lines, start=1) if line.strip()]
    if not pairs:
        raise ValueError(f"pairs file {str(path)!r} holds no pair, expected one a line")
    if len({tuple(pair.spans) for pair in pairs}) > 1:
        other = next(pair for pair in pairs if tuple(pair.spans) != tuple(pairs[0].spans))
        raise ValueError(
            f"line {other.line} of {str(path)!r} has the spans {list(other.spans)}, "
            f"line {pairs[0].line} {list(pairs[0].spans)}; give all pairs the same, in the same order"
        )
    return pairs


def _pair_of(line: str, number: int, path: Path) -> Pair:
    where = f"line {number} of {str(path)!r}"
    try:
        record = json.loads(line)
    except ValueError as error:
        raise ValueError(f"{where} is not valid JSON: {error}") from None
    if not isinstance(record, dict):
        raise ValueError(f"{where} is no JSON object, expected one with {', '.join(TEXTS)}")
    for name in TEXTS:
        if not isinstance(record.get(name), str) or not record[name].strip():
            raise ValueError(f"{where} has no text {name!r}, expected {', '.join(TEXTS)}")
    template = record.get("template")
    if template is not None and not isinstance(template, str):
        raise ValueError(f"template in {where} is {template!r}, expected a name")
    texts = {name: record[name] for name in TEXTS}
    return Pair(**texts, spans=_spans_of(record, where), template=template, line=number)


def _spans_of(record: Mapping[str, Any], where: str) -> dict[str, tuple[int, int]]:
    given = record.get("spans") or {}
    length = len(record["clean_prefix"])
    if not isinstance(given, dict):
        raise ValueError(f"spans in {where} is {given!r}, expected an object of name: [first, end]")
    spans: dict[str, tuple[int, int]] = {}
    last = 0
    for name, bounds in given.items():
        is_range = isinstance(bounds, list) and len(bounds) == 2 and all(type(bound) is int for bound in bounds)
        if not is_range or not last <= bounds[0] <= bounds[1] <= length:
            raise ValueError(
                f"span {name!r} in {where} is {bounds!r}, expected [first, end] in characters of clean_prefix, "
                "spans in reading order and apart"
            )
        spans[name] = (bounds[0], bounds[1])
        last = bounds[1]
    return spans
