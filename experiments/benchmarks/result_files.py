"""Tables of measurements as CSV files, every row with the machine that it was measured on."""

import csv
import os
import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from io import StringIO
from pathlib import Path

import torch

from sae.written_whole import written_whole

__all__ = ["RESULTS", "append_row", "machine", "read_rows", "write_rows"]

RESULTS = Path(__file__).parent / "results"

Row = Mapping[str, object]


def machine() -> dict[str, object]:
    """What a row was measured on: processor, GPU, versions, date."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else "",
        "torch": torch.__version__,
        "sae_lens": version("sae-lens"),
        "date": datetime.now(UTC).date().isoformat(),
    }


def _processor() -> str:
    """Model of the processor; Linux alone tells it by name."""
    information = Path("/proc/cpuinfo")
    lines = information.read_text(encoding="utf-8").splitlines() if information.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def write_rows(path: Path, rows: Sequence[Row]) -> None:
    """Write a table whole or not at all; all rows have the columns of the first, in its order."""
    text = StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    with written_whole(path) as temporary:
        temporary.write_text(text.getvalue(), encoding="utf-8")


def read_rows(path: Path) -> list[dict[str, str]]:
    """The rows of a table; none where there is no file."""
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def append_row(path: Path, row: Row) -> None:
    """Add a row to a table, which is at no moment half written.

    Raises:
        ValueError: The table has other columns.
    """
    rows: list[Row] = [*read_rows(path)]
    if rows and list(rows[0]) != list(row):
        raise ValueError(f"{path} has columns {list(rows[0])}, expected {list(row)}; give another --out")
    write_rows(path, [*rows, row])
