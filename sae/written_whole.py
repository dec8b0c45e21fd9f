"""Files that are either written whole or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["written_whole"]


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """A temporary path beside `path`, renamed to it when the block ends without an error.

    The file is on disk before it gets its name: after a power cut there is the old file or the new one.

    The temporary name keeps the suffix, from which writers tell the format. Missing parent directories are made.

    Args:
        path: The final name; an existing file is replaced.

    Raises:
        ValueError: If `path` is a directory or its parent cannot be written.
    """
    path = Path(path)
    if path.is_dir():
        raise ValueError(f"output {str(path)!r} is a directory, expected a file name; give another path")
    part = path.with_name(f".{path.stem}.part-{os.getpid()}{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.touch()
    except OSError as error:
        reason = error.strerror or error
        raise ValueError(f"output {str(path)!r} is not writable ({reason}); give another path") from error
    try:
        yield part
        _sync(part)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    """Wait until what was written to a file is on disk, whoever wrote it."""
    descriptor = os.open(path, os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
