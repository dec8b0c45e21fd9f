"""What a run has cost: seconds and memory of its stages, over all its parts."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from experiments.peak_memory import peak_gigabytes
from experiments.report.contents import Row, Table
from sae.written_whole import written_whole

__all__ = ["cost_table", "recorded_cost", "recorded_seconds"]

COSTS = "costs.json"


@contextmanager
def recorded_cost(work: Path, stage: str) -> Iterator[None]:
    """Note what its block took, if it came to its end, beside what other parts of the run took."""
    started = time.perf_counter()
    yield
    entry = {"stage": stage, "seconds": time.perf_counter() - started, "peak_gigabytes": peak_gigabytes()}
    with written_whole(work / COSTS) as part:
        part.write_text(json.dumps([*_entries(work), entry], indent=1) + "\n", "utf-8")


def recorded_seconds(work: Path) -> dict[str, float]:
    """Of each stage, all parts of the run together."""
    found: dict[str, float] = {}
    for entry in _entries(work):
        found[entry["stage"]] = found.get(entry["stage"], 0.0) + entry["seconds"]
    return found


def cost_table(work: Path, stages: str) -> Table | None:
    """Seconds and most memory of each stage; None where none was noted.

    Args:
        work: Of the run.
        stages: What they are, as sentences.
    """
    if not (entries := _entries(work)):
        return None
    rows = []
    for stage in dict.fromkeys(entry["stage"] for entry in entries):
        parts = [entry for entry in entries if entry["stage"] == stage]
        seconds, peak = sum(part["seconds"] for part in parts), max(part["peak_gigabytes"] for part in parts)
        rows.append(Row(stage, {"seconds": f"{seconds:.1f}", "peak GB": f"{peak:.2f}"}))
    return Table(
        "cost",
        "What it cost",
        ("seconds", "peak GB"),
        tuple(rows),
        note=f"{stages} Peak: the most memory of the process until the stage had ended, mapped files included. One "
        "run: no null, no interval.",
    )


def _entries(work: Path) -> list[dict[str, Any]]:
    path = work / COSTS
    entries: list[dict[str, Any]] = json.loads(path.read_text("utf-8")) if path.is_file() else []
    return entries
