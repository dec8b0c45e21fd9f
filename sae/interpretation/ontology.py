"""Concepts from a table: names and synonyms that are looked for in texts, and what is a kind of what.

The file has tab-separated columns `concept_id`, `name`, `synonyms` and `parents`, with a heading; several synonyms or
parents are separated by `|`.
"""

import csv
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from sae.annotated_text import TextSpan
from sae.interpretation.negation import AFFIRMED, status_of

__all__ = ["COLUMNS", "Concept", "Ontology", "read_ontology"]

COLUMNS = ("concept_id", "name", "synonyms", "parents")
SEPARATOR = "|"


@dataclass(frozen=True)
class Concept:
    """One row of the table."""

    concept_id: str
    name: str
    synonyms: tuple[str, ...]
    parents: tuple[str, ...]


@dataclass(frozen=True)
class Ontology:
    """Concepts by id, and how they are found in texts.

    Raises:
        ValueError: A parent is no concept of the table, or a concept is its own ancestor.
    """

    concepts: Mapping[str, Concept]

    def __post_init__(self) -> None:
        for concept in self.concepts.values():
            for parent in concept.parents:
                if parent not in self.concepts:
                    raise ValueError(
                        f"concept {concept.concept_id!r} has the parent {parent!r}, which is no concept_id of the "
                        "table; add its row or remove it"
                    )
        for concept_id in self.concepts:
            self.ancestors(concept_id)

    def ancestors(self, concept_id: str) -> set[str]:
        """All that a concept is a kind of, itself left out."""
        found: set[str] = set()
        waiting = list(self.concepts[concept_id].parents)
        while waiting:
            parent = waiting.pop()
            if parent == concept_id:
                raise ValueError(f"concept {concept_id!r} is its own ancestor; remove one of the parents in the circle")
            if parent not in found:
                found.add(parent)
                waiting += self.concepts[parent].parents
        return found

    def mentions(self, text: str) -> list[TextSpan]:
        """Every place where a name or a synonym stands, for the concept and for all that it is a kind of.

        Letters' case does not matter, words must be whole, and of overlapping phrases the longest counts. A denied
        mention is of the concept `not ID`, one about a relative of `family ID`.
        """
        return [
            TextSpan(found.start(), found.end(), _with_status(each, status_of(text, found.start(), found.end())))
            for found in (self._pattern.finditer(text) if self._ids_of_phrase else ())
            for concept_id in self._ids_of_phrase[_normal(found[0])]
            for each in (concept_id, *sorted(self.ancestors(concept_id)))
        ]

    def names(self) -> dict[str, str]:
        """What a person calls every concept that `mentions` may give."""
        return {
            _with_status(concept_id, status): _with_status(concept.name, status)
            for concept_id, concept in self.concepts.items()
            for status in (AFFIRMED, "negated", "family")
        }

    @cached_property
    def _ids_of_phrase(self) -> dict[str, tuple[str, ...]]:
        ids: dict[str, tuple[str, ...]] = {}
        for concept in self.concepts.values():
            for phrase in dict.fromkeys(map(_normal, (concept.name, *concept.synonyms))):
                ids[phrase] = (*ids.get(phrase, ()), concept.concept_id)
        return ids

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        longest_first = sorted(self._ids_of_phrase, key=len, reverse=True)
        phrases = (r"\s+".join(map(re.escape, phrase.split(" "))) for phrase in longest_first)
        return re.compile(rf"(?<!\w)(?:{'|'.join(phrases)})(?!\w)", re.IGNORECASE)


def read_ontology(path: Path) -> Ontology:
    """The concepts of a file.

    Raises:
        ValueError: The file is missing or is not such a table.
    """
    if not path.is_file():
        raise ValueError(f"there is no ontology at {path}, expected a TSV file with the columns {', '.join(COLUMNS)}")
    with path.open(encoding="utf-8", newline="") as lines:
        rows = csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)
        missing = [column for column in COLUMNS if column not in (rows.fieldnames or ())]
        if missing:
            raise ValueError(f"ontology {path} lacks the columns {', '.join(missing)}, expected {', '.join(COLUMNS)}")
        concepts: dict[str, Concept] = {}
        for concept in _concepts(rows, path):
            if concept.concept_id in concepts:
                raise ValueError(f"ontology {path} has concept_id {concept.concept_id!r} twice, expected it once")
            concepts[concept.concept_id] = concept
    if not concepts:
        raise ValueError(f"ontology {path} has no concept, expected at least one row below its heading")
    return Ontology(concepts)


def _concepts(rows: csv.DictReader, path: Path) -> Iterator[Concept]:
    for number, row in enumerate(rows, 2):
        concept_id, name = (row["concept_id"] or "").strip(), (row["name"] or "").strip()
        if not concept_id or not name:
            raise ValueError(f"line {number} of ontology {path} has no concept_id or no name, expected both")
        yield Concept(concept_id, name, _several(row["synonyms"]), _several(row["parents"]))


def _several(cell: str | None) -> tuple[str, ...]:
    return tuple(part.strip() for part in (cell or "").split(SEPARATOR) if part.strip())


def _normal(phrase: str) -> str:
    return " ".join(phrase.lower().split())


def _with_status(name: str, status: str) -> str:
    return {AFFIRMED: name, "negated": f"not {name}", "family": f"family {name}"}[status]
