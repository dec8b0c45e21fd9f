"""A judge that repeats recorded answers and never asks anybody."""

import json
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path

from sae.interpretation.judges.cache import read_answer
from sae.interpretation.judges.request import JudgeRequest, JudgeResult

__all__ = ["ReplayJudge"]


class ReplayJudge:
    """Answers from a file: a cache, or the lines of JSON that a run wrote.

    Args:
        path: The file.

    Raises:
        ValueError: It is missing or damaged, or holds the answers of no model or of several.
    """

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise ValueError(f"there are no recorded answers at {path}, expected a judge cache or judgements.jsonl")
        try:
            rows = _of_cache(path) if _is_database(path) else _of_lines(path)
        except (ValueError, KeyError, TypeError, sqlite3.Error) as error:
            raise ValueError(f"recorded answers {path} are damaged ({error}); restore the file") from error
        models = sorted({model for model, _, _ in rows})
        if len(models) != 1:
            found = ", ".join(models) or "none"
            raise ValueError(f"{path} holds answers of the models {found}, expected one; give a run's judgements.jsonl")
        self.model = models[0]
        self.name = f"replay:{self.model}"
        self._answers = {key: answer for _, key, answer in rows}

    def complete(self, requests: Sequence[JudgeRequest]) -> Iterator[JudgeResult]:
        """One result a request, in their order; an error where the answer was not recorded."""
        for request in requests:
            yield self._answers.get(request.key(self.model)) or JudgeResult(error="not among the recorded answers")


Rows = list[tuple[str, str, JudgeResult]]


def _is_database(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(15) == b"SQLite format 3"


def _of_cache(path: Path) -> Rows:
    database = sqlite3.connect(path)
    try:
        rows = database.execute("select model, key, answer from answers").fetchall()
    finally:
        database.close()
    return [(model, key, read_answer(json.loads(answer))) for model, key, answer in rows]


def _of_lines(path: Path) -> Rows:
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    return [(line["model"], line["key"], read_answer(line["answer"])) for line in lines]
