"""Files of documents whose concepts are marked, and of what concepts belong to."""

import json
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path

from sae.annotated_text import AnnotatedText, TextSpan
from sae.text_files import file_lines

__all__ = [
    "check_concepts",
    "family_of",
    "read_label_file",
    "read_parents",
]

MANY = 5
"""So many unknown names are told; the others are counted."""


def read_label_file(path: Path) -> list[AnnotatedText]:
    """Documents of JSON lines, plain or gzip, with `text`, `concepts [{start, end, concept}]` and, if any, `classes`.

    Raises:
        ValueError: The file is missing or damaged, or a line is not of that form, or a span lies outside its text.
    """
    if not path.is_file():
        raise ValueError(f"label file {path} does not exist; check the path")
    lines = [(number, line) for number, line in enumerate(file_lines(path), 1) if line.strip()]
    documents = [_document(line, f"line {number} of {path}") for number, line in lines]
    if not any(document.targets for document in documents):
        raise ValueError(f"label file {path} marks no concept, expected `concepts` or `classes` in some document")
    return documents


def read_parents(path: Path) -> dict[str, tuple[str, ...]]:
    """An ontology: a child and a parent on each line, separated by a tab; a child may have several parents.

    Raises:
        ValueError: The file is missing, a line has not two names, or a concept is its own ancestor.
    """
    if not path.is_file():
        raise ValueError(f"ontology {path} does not exist; check the path")
    parents: dict[str, tuple[str, ...]] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip():
            continue
        names = [name.strip() for name in line.split("\t")]
        if len(names) != 2 or not all(names):
            raise ValueError(f"line {number} of {path} is {line!r}, expected a child, a tab and its parent")
        parents[names[0]] = (*parents.get(names[0], ()), names[1])
    _check_acyclic(parents, path)
    return parents


def check_concepts(asked: Sequence[str], known: Sequence[str], *, what: str) -> None:
    """Make sure that concepts exist.

    Args:
        asked: Concepts that somebody named.
        known: Those that there are.
        what: Who named them, for the message.

    Raises:
        ValueError: Some are unknown; the first few are told, with the nearest known name.
    """
    unknown = sorted(set(asked) - set(known))
    if not unknown:
        return
    told = ", ".join(_with_nearest(name, known) for name in unknown[:MANY])
    rest = f" and {len(unknown) - MANY} more" if len(unknown) > MANY else ""
    raise ValueError(
        f"{what} has {len(unknown)} unknown concepts: {told}{rest}; expected some of the {len(known)} known"
    )


def family_of(concept: str) -> str:
    """The part of a concept's name before its first colon; empty where it has none."""
    head, colon, _ = concept.partition(":")
    return head if colon else ""


def _with_nearest(name: str, known: Sequence[str]) -> str:
    near = get_close_matches(name, known, n=1)
    return f"{name!r} (nearest: {near[0]!r})" if near else repr(name)


def _document(line: str, where: str) -> AnnotatedText:
    try:
        record = json.loads(line)
        text, classes = record["text"], record.get("classes", [])
        marked = [(int(span["start"]), int(span["end"]), span["concept"]) for span in record.get("concepts", [])]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{where} is not {{text, concepts: [{{start, end, concept}}]}}: {error!r}") from None
    if not all(isinstance(name, str) for name in (text, *classes, *(concept for *_, concept in marked))):
        raise ValueError(f"{where} has a text, concept or class that is not a string")
    spans = tuple(TextSpan(*span) for span in marked)
    for span in spans:
        if not 0 <= span.start < span.end <= len(text):
            raise ValueError(
                f"{where} marks {span.concept!r} at {span.start} to {span.end}, expected a part of its "
                f"{len(text)} characters"
            )
    return AnnotatedText(text, spans, classes=tuple(classes))


def _check_acyclic(parents: Mapping[str, Sequence[str]], path: Path) -> None:
    for start in parents:
        seen: set[str] = set()
        front = list(parents[start])
        while front:
            name = front.pop()
            if name == start:
                raise ValueError(f"ontology {path} makes {start!r} its own ancestor; take one of those lines out")
            if name not in seen:
                seen.add(name)
                front += parents.get(name, ())
