"""What a judge cache holds, by model; its answers as lines of JSON to be replayed elsewhere; old ones thrown away."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from sae.interpretation.judges.cache import TABLE_COLUMNS
from sae.written_whole import written_whole

__all__ = ["CachedModel", "cached_models", "export_answers", "prune_answers"]


@dataclass(frozen=True)
class CachedModel:
    """The answers of one model.

    Attributes:
        model: Whose they are.
        answers: How many.
        bytes: Size of questions and answers.
        first: When the oldest came, in UTC.
        last: When the newest came.
    """

    model: str
    answers: int
    bytes: int
    first: str
    last: str


def cached_models(path: Path) -> list[CachedModel]:
    """The models of a cache, that of most answers first.

    Raises:
        ValueError: The file is missing or no judge cache.
    """
    size = "sum(length(cast(request as blob)) + length(cast(answer as blob)))"
    with _opened(path) as database:
        rows = database.execute(
            f"select model, count(*), {size}, min(created), max(created) from answers group by model order by 2 desc, 1"
        ).fetchall()
    return [CachedModel(*row) for row in rows]


def export_answers(path: Path, output: Path, *, model: str | None = None) -> tuple[str, int]:
    """Write the answers of one model as `judgements.jsonl` has them, which `replay:FILE` reads.

    Args:
        path: The cache.
        output: The file to write.
        model: Whose answers; may be left out where the cache holds one model.

    Returns:
        The model, and how many answers were written.

    Raises:
        ValueError: The file is no judge cache, or holds no answers of the model, or of several where none is named.
    """
    model = _one_model(path, model)
    query = "select key, request, answer from answers where model = ? order by key"
    n_written = 0
    with _opened(path) as database, written_whole(output) as part, part.open("w", encoding="utf-8") as file:
        for key, request, answer in database.execute(query, (model,)):
            line = {"key": key, **json.loads(request), "answer": json.loads(answer)}
            file.write(json.dumps(line) + "\n")
            n_written += 1
    return model, n_written


def prune_answers(
    path: Path, *, model: str | None = None, older_than_days: float | None = None, dry_run: bool = False
) -> int:
    """Delete answers, and give the space back.

    Args:
        path: The cache.
        model: Only those of this model.
        older_than_days: Only those that came longer ago than this.
        dry_run: Only count them.

    Returns:
        How many answers it is about.

    Raises:
        ValueError: The file is no judge cache, holds nothing of the model, or nothing says which answers.
    """
    if model is None and older_than_days is None:
        raise ValueError("nothing says which answers to delete, expected a model, an age in days, or both")
    conditions, values = [], []
    if model is not None:
        conditions.append("model = ?")
        values.append(_one_model(path, model))
    if older_than_days is not None:
        conditions.append("created < datetime('now', ?)")
        values.append(f"-{older_than_days * 86_400:.0f} seconds")
    where = " and ".join(conditions)
    with _opened(path) as database:
        n = int(database.execute(f"select count(*) from answers where {where}", values).fetchone()[0])
        if not dry_run:
            database.execute(f"delete from answers where {where}", values)
            database.execute("vacuum")
            database.execute("pragma wal_checkpoint(truncate)")
    return n


def _one_model(path: Path, model: str | None) -> str:
    known = [each.model for each in cached_models(path)]
    if model is None and len(known) == 1:
        return known[0]
    if model not in known:
        found = ", ".join(known) or "none"
        raise ValueError(f"model is {model!r}, but {path} holds answers of {found}; give one of these as --model")
    return model


@contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    """The database, which must be there already; every statement stands for itself."""
    if not path.is_file():
        raise ValueError(f"there is no judge cache at {path}, expected a file that sae interpret --judge-cache made")
    try:
        with closing(sqlite3.connect(path, isolation_level=None)) as database:
            columns = {row[1] for row in database.execute("pragma table_info(answers)")}
            if not columns >= TABLE_COLUMNS:
                raise ValueError(f"{path} is no judge cache, expected a file that sae interpret --judge-cache made")
            yield database
    except sqlite3.Error as error:
        raise ValueError(f"judge cache {path} cannot be used ({error}); give another file") from error
