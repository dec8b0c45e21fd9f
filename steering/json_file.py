"""A JSON file that somebody hands in: read whole, or refused in one line."""

import json
from pathlib import Path
from typing import Any

__all__ = ["read_json"]


def read_json(path: Path, what: str, *, most_bytes: int, expected: str, remedy: str) -> Any:
    """The content of a file.

    Args:
        path: The file.
        what: What it is called in messages.
        most_bytes: Larger ones are not read.
        expected: What to give in place of a file that cannot be read.
        remedy: What to do about one that is not JSON.

    Raises:
        ValueError: It is too large, cannot be read, or is not JSON.
    """
    name = f"{what} {str(path)!r}"
    try:
        if path.stat().st_size > most_bytes:
            raise ValueError(f"{name} has more than {most_bytes} bytes, more than a {what} can have")
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"{name} cannot be read ({error.strerror}); give {expected}") from error
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"{name} is not whole JSON ({error}); {remedy}") from error
