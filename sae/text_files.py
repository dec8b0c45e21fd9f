"""Documents in files: JSON lines (plain or gzip), Parquet and plain text."""

import gzip
import json
import random
import zlib
from collections.abc import Callable, Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

__all__ = [
    "FILE_READERS",
    "file_kind",
    "file_lines",
    "is_pattern",
    "read_matching_files",
    "read_text_directory",
    "read_text_file",
]

TEXT_FIELD = "text"
WILDCARDS = frozenset("*?")


def file_kind(name: str) -> str | None:
    """The ending of a file that can be read as documents, or None."""
    return next((ending for ending in FILE_READERS if name.endswith(ending)), None)


def read_text_file(path: Path) -> Iterator[str]:
    """The documents of a file, one at a time.

    In JSON lines and Parquet a document is the field `text`; in plain text blank lines separate documents.

    Raises:
        ValueError: The file is missing or of another kind; or, while reading, damaged or without the field.
    """
    kind = file_kind(path.name)
    if kind is None:
        raise ValueError(f"{path} is no text file, expected an ending among {', '.join(FILE_READERS)}")
    if not path.is_file():
        raise ValueError(f"corpus file {path} does not exist; check the path")
    return FILE_READERS[kind](path)


def is_pattern(name: str) -> bool:
    """Whether a path names several files: `*` stands for any characters and `?` for one."""
    return not WILDCARDS.isdisjoint(name) and not Path(name).expanduser().exists()


def read_text_directory(path: Path, *, seed: int = 0) -> Iterator[str]:
    """The documents of all text files of a directory, in an order shuffled by the seed; they are held in memory.

    Raises:
        ValueError: It holds no text file; or, while reading, as in `read_text_file`.
    """
    if not (files := _text_files(path)):
        raise ValueError(f"directory {path} holds no text file, expected an ending among {', '.join(FILE_READERS)}")
    return _shuffled(files, seed)


def read_matching_files(pattern: Path, *, seed: int = 0) -> Iterator[str]:
    """The same of the files of a directory whose names match a pattern, as `books/history_*.jsonl.gz`.

    Raises:
        ValueError: There is no such directory, none of its text files matches, or the directory is a pattern too; or,
            while reading, as in `read_text_file`.
    """
    directory = pattern.parent
    if not WILDCARDS.isdisjoint(str(directory)):
        raise ValueError(f"corpus {str(pattern)!r} has a wildcard in its directory, expected one in the file name only")
    if not directory.is_dir():
        raise ValueError(f"corpus {str(pattern)!r}: there is no directory {str(directory)!r}; check the path")
    if not (files := _text_files(directory, pattern.name)):
        raise ValueError(
            f"corpus {str(pattern)!r} matches none of the {len(_text_files(directory))} text files in "
            f"{str(directory)!r}, expected one at least, with an ending among {', '.join(FILE_READERS)}"
        )
    return _shuffled(files, seed)


def _text_files(directory: Path, pattern: str = "*") -> list[Path]:
    return sorted(
        file
        for file in directory.iterdir()
        if file.is_file() and file_kind(file.name) is not None and fnmatchcase(file.name, pattern)
    )


def _shuffled(files: Sequence[Path], seed: int) -> Iterator[str]:
    documents = [document for file in files for document in read_text_file(file)]
    random.Random(seed).shuffle(documents)
    yield from documents


def _json_lines(path: Path) -> Iterator[str]:
    for number, line in enumerate(file_lines(path), 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except ValueError as error:
            raise ValueError(f"line {number} of {path} is not valid JSON: {error}") from None
        text = record.get(TEXT_FIELD) if isinstance(record, dict) else None
        if not isinstance(text, str):
            raise ValueError(f"line {number} of {path} has no string {TEXT_FIELD!r}, expected one in every object")
        yield text


def _plain_text(path: Path) -> Iterator[str]:
    paragraph: list[str] = []
    for line in file_lines(path):
        if line.strip():
            paragraph.append(line.rstrip("\n"))
        elif paragraph:
            yield "\n".join(paragraph)
            paragraph = []
    if paragraph:
        yield "\n".join(paragraph)


def _parquet(path: Path) -> Iterator[str]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise ValueError(f"reading {path} needs the pyarrow package; pip install pyarrow") from None
    try:
        table = pyarrow.parquet.ParquetFile(path)
        if TEXT_FIELD not in table.schema_arrow.names:
            raise ValueError(f"{path} has columns {table.schema_arrow.names}, expected one named {TEXT_FIELD!r}")
        for batch in table.iter_batches(columns=[TEXT_FIELD]):
            yield from (text for text in batch.column(0).to_pylist() if text is not None)
    except pyarrow.ArrowInvalid as error:
        raise ValueError(f"{path} is damaged or no Parquet file: {error}") from None


def file_lines(path: Path) -> Iterator[str]:
    """The lines of a text file, plain or gzip.

    Raises:
        ValueError: While reading: it is damaged or not UTF-8.
    """
    opener: Callable[..., Any] = gzip.open if path.suffix == ".gz" else open
    try:
        with opener(path, "rt", encoding="utf-8") as stream:
            yield from stream
    except (EOFError, zlib.error, gzip.BadGzipFile, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is damaged or not UTF-8 text: {error}") from None


FILE_READERS: dict[str, Callable[[Path], Iterator[str]]] = {
    ".jsonl": _json_lines,
    ".jsonl.gz": _json_lines,
    ".parquet": _parquet,
    ".txt": _plain_text,
}
