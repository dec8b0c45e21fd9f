"""From the records of all analyses to one report."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from experiments.clinical_reasoning.profiles import Profile
from experiments.clinical_reasoning.running import NOT_MEASURED, Task
from experiments.costs import cost_table, recorded_seconds
from experiments.report.contents import Report, Section

__all__ = ["reasoning_report"]

TITLE = "Causal clinical reasoning"
CLAIM = (
    "Do features of a domain's dictionaries causally mediate clinical answers, and do circuits of them name the "
    "findings that the answers depend on? (The question of arXiv 2508.09363; the definitions are this project's.)"
)
STAGES = "One stage an analysis; loading the model is part of none."


def reasoning_report(
    profile: Profile, tasks: Sequence[Task], records: Mapping[str, Mapping[str, Any]], work: Path
) -> Report:
    """What all analyses found, in their order.

    Args:
        profile: What they were run on.
        tasks: The analyses.
        records: By their names.
        work: Where costs are noted.
    """
    sections: list[Section] = []
    findings: list[str] = []
    for task in tasks:
        record = records[task.analysis.name]
        if (reason := record.get(NOT_MEASURED)) is not None:
            sections.append(Section(task.analysis.title, text=f"Not measured: {reason}."))
            continue
        presented = task.analysis.code.present(record)
        sections.append(presented.section)
        findings.extend(presented.findings)
    if (table := cost_table(work, STAGES)) is not None:
        sections.append(Section("Cost", tables=(table,)))
    return Report(
        experiment="clinical-reasoning",
        profile=profile.name,
        title=TITLE,
        claim=CLAIM,
        findings=tuple(findings),
        warnings=profile.warnings,
        config={task.analysis.name: {"size": task.size, "seed": task.seed} for task in tasks},
        seconds=recorded_seconds(work),
        sections=tuple(sections),
    )
