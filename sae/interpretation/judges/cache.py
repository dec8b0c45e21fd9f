"""Answers that were paid for once: kept in a SQLite file by what was asked, and as lines of JSON to be passed on.

Neither the server nor any key is written. The database is in write-ahead mode: every answer is safe as soon as it came.
"""

import json
import os
import sqlite3
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

from sae.interpretation.judges.request import JudgeRequest, JudgeResult, canonical_json
from sae.written_whole import written_whole

__all__ = ["TABLE_COLUMNS", "AnswerCache", "default_cache", "stored_answer", "write_answers"]

TABLE = """
create table if not exists answers (
    key text primary key,
    model text not null,
    request text not null,
    answer text not null,
    created text not null default (datetime('now'))
)"""
TABLE_COLUMNS = frozenset({"key", "model", "request", "answer", "created"})
STORED_FIELDS = ("text", "parsed", "yes_logit", "finish_reason", "usage", "latency_s")


class AnswerCache:
    """Answers by the key of the question.

    Args:
        path: The file; made where it does not exist.

    Raises:
        ValueError: The file cannot be opened or is no such database.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._database = sqlite3.connect(self.path, isolation_level=None)
            self._database.execute("pragma journal_mode=wal")
            self._database.execute(TABLE)
        except (OSError, sqlite3.Error) as error:
            raise ValueError(f"judge cache {str(path)!r} cannot be used ({error}); give another file") from error

    def __enter__(self) -> "AnswerCache":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._database.close()

    def get(self, model: str, request: JudgeRequest) -> JudgeResult | None:
        """What was answered before, or None."""
        row = self._database.execute("select answer from answers where key = ?", (request.key(model),)).fetchone()
        return None if row is None else read_answer(json.loads(row[0]))

    def put(self, model: str, request: JudgeRequest, result: JudgeResult) -> None:
        """Keep an answer.

        Raises:
            ValueError: It is no answer but an error.
        """
        if result.error is not None:
            raise ValueError(f"an error is no answer to keep ({result.error})")
        row = (request.key(model), model, canonical_json(request.canonical(model)), json.dumps(stored_answer(result)))
        self._database.execute("insert or replace into answers (key, model, request, answer) values (?, ?, ?, ?)", row)

    def __len__(self) -> int:
        return int(self._database.execute("select count(*) from answers").fetchone()[0])


def default_cache() -> Path:
    """Where answers are kept if nothing else is said: in the user's cache directory."""
    root = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(root).expanduser() / "domain-circuits" / "judge.sqlite"


def write_answers(path: Path, model: str, pairs: Iterable[tuple[JudgeRequest, JudgeResult]]) -> None:
    """Write answers as lines of JSON with what was asked, each question once; errors are left out."""
    lines = {
        request.key(model): {"key": request.key(model), **request.canonical(model), "answer": stored_answer(result)}
        for request, result in pairs
        if result.error is None
    }
    with written_whole(path) as part:
        part.write_text("".join(json.dumps(line) + "\n" for line in lines.values()), encoding="utf-8")


def stored_answer(result: JudgeResult) -> dict[str, Any]:
    """The fields of an answer that are kept."""
    return {name: getattr(result, name) for name in STORED_FIELDS}


def read_answer(stored: dict[str, Any]) -> JudgeResult:
    """An answer that was kept.

    Raises:
        TypeError: It has fields that no answer has.
    """
    return replace(JudgeResult(**stored), cached=True)
