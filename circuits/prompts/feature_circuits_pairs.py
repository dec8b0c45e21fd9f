"""Pairs as the feature-circuits project keeps them (Marks et al. 2024, arXiv 2403.19647), as pairs of ours.

Its files hold a JSON object a line with `clean_prefix`, `patch_prefix`, `clean_answer`, `patch_answer` and `case`, and
its templates for the agreement of subject and verb put the same part of speech at the same word of every line.
"""

import json
import re
from collections.abc import Iterable, Sequence
from typing import Any

__all__ = ["feature_circuits_pairs"]

TEXTS = ("clean_prefix", "patch_prefix", "clean_answer", "patch_answer")


def feature_circuits_pairs(lines: Iterable[str], *, by_word: bool = False) -> list[dict[str, Any]]:
    """Lines of a feature-circuits file as records of our pairs format.

    Args:
        lines: Of the file; blank ones are skipped.
        by_word: Whether to align pairs word by word: every word of the clean prefix becomes a span, `word 1` onwards.

    Returns:
        Records with `clean_prefix`, `patch_prefix`, `clean_answer`, `patch_answer`, with `template` where a line has a
        `case`, and with `spans` where `by_word` is on.

    Raises:
        ValueError: A line is no such object, or with `by_word` has another number of words than the first; the line's
            number is named.
    """
    records = [(number, _record(line, number)) for number, line in enumerate(lines, start=1) if line.strip()]
    if not records:
        raise ValueError(f"there is no pair, expected a JSON object a line with {', '.join(TEXTS)}")
    if not by_word:
        return [record for _, record in records]
    _check_words(records)
    return [{**record, "spans": _spans(record["clean_prefix"])} for _, record in records]


def _record(line: str, number: int) -> dict[str, Any]:
    try:
        given = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"line {number} is not valid JSON: {error}") from None
    if not isinstance(given, dict):
        raise ValueError(f"line {number} is no JSON object, expected one with {', '.join(TEXTS)}")
    for name in TEXTS:
        if not isinstance(given.get(name), str) or not given[name].strip():
            raise ValueError(f"line {number} has no text {name!r}, expected {', '.join(TEXTS)}")
    template = {"template": given["case"]} if isinstance(given.get("case"), str) else {}
    return {**{name: given[name] for name in TEXTS}, **template}


def _check_words(records: Sequence[tuple[int, dict[str, Any]]]) -> None:
    expected = len(records[0][1]["clean_prefix"].split())
    for number, record in records:
        for name in ("clean_prefix", "patch_prefix"):
            if (found := len(record[name].split())) != expected:
                raise ValueError(
                    f"{name} of line {number} has {found} words, the first clean_prefix has {expected}; "
                    "leave by_word off or drop the line"
                )


def _spans(prefix: str) -> dict[str, list[int]]:
    return {f"word {i}": list(word.span()) for i, word in enumerate(re.finditer(r"\S+", prefix), start=1)}
