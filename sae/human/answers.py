"""The key and the answers that belong to it, checked before anything is computed of them."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sae.human.items import CHOICES, KINDS, KeyEntry

__all__ = ["RATINGS", "Answers", "Key", "read_answers", "read_key"]

RATINGS = ("clarity", "clinical_meaning")
LOWEST, HIGHEST = 1, 5
MAX_TEXT = 2000


@dataclass(frozen=True)
class Key:
    """What the items of a page are.

    Attributes:
        sha256: Of the key file.
        nulls: Arms that mean nothing by construction.
        items: By id.
    """

    sha256: str
    nulls: frozenset[str]
    items: dict[str, KeyEntry]


@dataclass(frozen=True)
class Answers:
    """One rater's answers.

    Attributes:
        rater: What the rater is called.
        choices: Index of the chosen option, by item.
        ratings: By scale of `RATINGS`, then by item; from 1 to 5.
        texts: Written labels, by item.
    """

    rater: str
    choices: dict[str, int]
    ratings: dict[str, dict[str, int]]
    texts: dict[str, str]

    @property
    def n(self) -> int:
        """Answers given."""
        return len(self.choices) + len(self.texts) + sum(len(own) for own in self.ratings.values())


def read_key(path: Path) -> Key:
    """The key that `sae human export` wrote.

    Raises:
        ValueError: It is missing or damaged.
    """
    record, content = _read_json(path, "key")
    try:
        items = {name: KeyEntry(**entry) for name, entry in record["items"].items()}
        nulls = frozenset(arm["name"] for arm in record["arms"] if arm["is_null"])
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"key {path} is damaged ({error!r}); take the key.json of the export") from None
    if not all(entry.kind in KINDS for entry in items.values()):
        raise ValueError(f"key {path} has items of unknown kinds, expected {', '.join(KINDS)}")
    return Key(hashlib.sha256(content).hexdigest(), nulls, items)


def read_answers(paths: Sequence[Path], key: Key) -> list[Answers]:
    """Answer files of one key.

    Raises:
        ValueError: There are none, or one is damaged, empty, of another key or of a rater that another one is of.
    """
    if not paths:
        raise ValueError("no answers were given, expected at least one file; nothing is computed without raters")
    found = [_answers(path, key) for path in paths]
    raters = [answers.rater for answers in found]
    twice = sorted({rater for rater in raters if raters.count(rater) > 1})
    if twice:
        raise ValueError(f"several files are of rater {twice[0]!r}, expected one a rater; give the last only")
    return found


def _read_json(path: Path, what: str) -> tuple[dict[str, Any], bytes]:
    try:
        content = path.read_bytes()
        record = json.loads(content)
    except OSError as error:
        raise ValueError(f"{what} {path} cannot be read ({error.strerror}); check the path") from None
    except ValueError as error:
        raise ValueError(f"{what} {path} is not valid JSON ({error}); take the file as it was downloaded") from None
    if not isinstance(record, dict):
        raise ValueError(f"{what} {path} is not a JSON object; take the file as it was downloaded")
    return record, content


def _answers(path: Path, key: Key) -> Answers:
    record, _ = _read_json(path, "answer file")
    if record.get("key_sha256") != key.sha256:
        raise ValueError(
            f"answers {path} belong to another key ({str(record.get('key_sha256'))[:12]}, not {key.sha256[:12]}); "
            "give the unchanged key of the page that was rated"
        )
    rater, given = record.get("rater"), record.get("answers")
    if not isinstance(rater, str) or not rater.strip() or not isinstance(given, dict):
        raise ValueError(f"answers {path} have no rater or no answers, expected both")
    found = Answers(rater.strip(), {}, {name: {} for name in RATINGS}, {})
    for item, answer in given.items():
        _add(found, item, answer, key, path)
    if found.n == 0:
        raise ValueError(f"answers {path} are empty, expected at least one answer; nothing is computed without raters")
    return found


def _add(found: Answers, item: str, answer: Any, key: Key, path: Path) -> None:
    """Sort one item's answer in."""
    if item not in key.items:
        raise ValueError(f"answers {path} have item {item!r}, which the key does not know")
    kind = key.items[item].kind
    if not isinstance(answer, dict):
        raise ValueError(f"answers {path} have {answer!r} at item {item}, expected an object")
    if kind in CHOICES and "choice" in answer:
        found.choices[item] = _number(answer["choice"], 0, CHOICES[kind] - 1, item, path)
    if kind == "rate":
        for name in RATINGS:
            if name in answer:
                found.ratings[name][item] = _number(answer[name], LOWEST, HIGHEST, item, path)
    if kind == "label" and str(answer.get("text", "")).strip():
        found.texts[item] = str(answer["text"]).strip()[:MAX_TEXT]


def _number(value: Any, low: int, high: int, item: str, path: Path) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise ValueError(f"answers {path} have {value!r} at item {item}, expected a whole number from {low} to {high}")
    return value
