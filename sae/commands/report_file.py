"""The file that a command's result goes to."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["REPORT", "write_report"]

REPORT = "report.json"


def write_report(fields: Mapping[str, Any], directory: Path) -> None:
    """Write a result to `report.json` of a directory; a number that is not finite is an error."""
    text = json.dumps(fields, indent=1, allow_nan=False, ensure_ascii=False)
    (directory / REPORT).write_text(text + "\n", encoding="utf-8")
