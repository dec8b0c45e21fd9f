"""Run analyses one by one; what is finished is kept and not run again."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments.clinical_reasoning.analysis import Analysis, NothingToAnalyseError
from experiments.clinical_reasoning.subject import Subject
from experiments.costs import recorded_cost
from sae.written_whole import written_whole

__all__ = ["NOT_MEASURED", "Task", "plan_text", "run_tasks"]

NOT_MEASURED = "not_measured"
"""Key of the reason, in a record that holds nothing else."""


@dataclass(frozen=True)
class Task:
    """An analysis at one size.

    Attributes:
        analysis: Which.
        subject: What it is run on: model, dictionaries and pairs, in words.
        size: Units.
        seed: Of everything that is drawn.
    """

    analysis: Analysis
    subject: str
    size: int
    seed: int

    def path(self, work: Path) -> Path:
        """Where its record is kept."""
        return work / "records" / f"{self.analysis.name}.json"

    @property
    def settings(self) -> dict[str, Any]:
        """What the record depends on."""
        return {"analysis": self.analysis.name, "subject": self.subject, "size": self.size, "seed": self.seed}

    def record(self, work: Path) -> dict[str, Any] | None:
        """What an earlier run found with the same settings; None where none did."""
        path = self.path(work)
        if not path.is_file():
            return None
        stored: dict[str, Any] = json.loads(path.read_text("utf-8"))
        return stored["record"] if stored["settings"] == self.settings else None


def plan_text(tasks: Sequence[Task], work: Path) -> str:
    """What there is to do."""
    lines = [f"{len(tasks)} analyses:"]
    for task in tasks:
        state = "to do" if task.record(work) is None else "done"
        lines.append(f"  {task.analysis.name}: {task.analysis.title} ({task.size} {task.analysis.unit}), {state}")
    return "\n".join(lines)


def run_tasks(
    tasks: Sequence[Task], work: Path, subject_of: Callable[[], Subject], tell: Callable[[str], None]
) -> Mapping[str, dict[str, Any]]:
    """Records by analysis, measured where they are missing.

    Args:
        tasks: All of one subject.
        work: Where records are kept; made if missing.
        subject_of: Loads the model, where anything is missing.
        tell: Is given a line before each analysis.
    """
    (work / "records").mkdir(parents=True, exist_ok=True)
    records: dict[str, dict[str, Any]] = {}
    subject = None
    for task in tasks:
        record = task.record(work)
        if record is None:
            subject = subject or subject_of()
            tell(f"{task.analysis.name}: {task.analysis.title}")
            with recorded_cost(work, task.analysis.name):
                record = _measured(task, subject)
            with written_whole(task.path(work)) as part:
                content = {"settings": task.settings, "record": record}
                part.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", "utf-8")
            record = task.record(work)
            assert record is not None, "it was just written"
        records[task.analysis.name] = record
    return records


def _measured(task: Task, subject: Subject) -> dict[str, Any]:
    """The record, or why there is none."""
    try:
        return task.analysis.code.measure(subject, size=task.size, seed=task.seed)
    except NothingToAnalyseError as error:
        return {NOT_MEASURED: str(error)}
