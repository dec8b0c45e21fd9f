"""Pairs of prompts that differ in what is studied, as lines of JSON.

A line has `clean_prefix`, `patch_prefix`, `clean_answer` and `patch_answer`; optionally `spans`, which name parts of
the clean prefix by their first character and the one after their last, and `template`, the pattern that the pair was
made from. Prefixes of a pair have equal token length. With spans, pairs are aligned span by span; without, token by
token, and then all prefixes have one length.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from circuits.prompts.behaviour import Behaviour
from circuits.runs.places import Places, span_places, token_places
from sae.host.prompts import prompt_offsets

if TYPE_CHECKING:
    from sae.host.host import HostModel

__all__ = ["Pair", "align_pairs", "check_lengths", "prefix_lengths", "read_pairs"]

TEXTS = ("clean_prefix", "patch_prefix", "clean_answer", "patch_answer")
MOST_LINES_IN_A_MESSAGE = 5


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


def check_lengths(host: "HostModel", pairs: Sequence[Pair]) -> None:
    """See that the prefixes can be aligned token by token.

    Raises:
        ValueError: A pair's prefixes differ in length, or the pairs do and have no spans; the lines are named.
    """
    lengths = prefix_lengths(host, pairs)
    unequal = [(pair.line, f"{a} and {b}") for pair, (a, b) in zip(pairs, lengths, strict=True) if a != b]
    if unequal:
        raise ValueError(
            f"clean_prefix and patch_prefix must have equal token length; {_listed(unequal)}; reword or drop them"
        )
    common, _ = Counter(clean for clean, _ in lengths).most_common(1)[0]
    others = [(pair.line, str(clean)) for pair, (clean, _) in zip(pairs, lengths, strict=True) if clean != common]
    if others and not pairs[0].spans:
        raise ValueError(
            f"without spans all prefixes must have one token length, most have {common}; {_listed(others)}; "
            "name spans to align them by, or drop them"
        )


def prefix_lengths(host: "HostModel", pairs: Sequence[Pair]) -> list[tuple[int, int]]:
    """Tokens of each pair's clean and patch prefix, BOS included."""
    return [(len(host.tokenise(pair.clean_prefix)), len(host.tokenise(pair.patch_prefix))) for pair in pairs]


def align_pairs(host: "HostModel", pairs: Sequence[Pair], behaviours: Sequence[Behaviour]) -> Places:
    """Where the nodes of all pairs sit: at the spans that they name, or at their tokens.

    Args:
        host: Its tokenizer must tell the characters of each token.
        pairs: All with the same spans.
        behaviours: Of the pairs.
    """
    if not pairs[0].spans:
        return token_places([behaviour.tokens for behaviour in behaviours])
    spans = [_token_spans(host, pair) for pair in pairs]
    return span_places(list(pairs[0].spans), spans, [len(behaviour.tokens) for behaviour in behaviours])


def _token_spans(host: "HostModel", pair: Pair) -> dict[str, tuple[int, int]]:
    """First token of each span and the one after its last; a token belongs where it begins, leading space aside."""
    offsets = prompt_offsets(host.tokenizer, pair.clean_prefix)
    ends = [end for _, end in offsets]
    found = {}
    for name, (first, end) in pair.spans.items():
        inside = [token for token, (begin, stop) in enumerate(offsets) if begin < end and stop > first]
        after = next((token for token, stop in enumerate(ends) if stop > first), len(ends))
        found[name] = (inside[0], inside[-1] + 1) if inside else (after, after)
    return found


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


def _listed(lines: Sequence[tuple[int, str]]) -> str:
    shown = [f"line {number} has {what}" for number, what in lines[:MOST_LINES_IN_A_MESSAGE]]
    rest = len(lines) - len(shown)
    return ", ".join(shown) + (f" and {rest} more" if rest else "")
