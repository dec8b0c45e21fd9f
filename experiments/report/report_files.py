"""A report on disk: `report.json`, `report.md`, `report.html` and its figures."""

import json
from pathlib import Path

from experiments.report.contents import Report
from experiments.report.markdown import report_markdown
from experiments.report.page import report_page
from experiments.report.report_json import report_from_json, report_to_json
from sae.written_whole import written_whole

__all__ = ["read_report", "write_report"]

RECORD = "report.json"


def write_report(report: Report, directory: Path) -> None:
    """Write all files of a report; others in the directory are left alone."""
    texts = {
        RECORD: json.dumps(report_to_json(report), indent=1, ensure_ascii=False, allow_nan=False) + "\n",
        "report.md": report_markdown(report),
        "report.html": report_page(report),
        **{f"{figure.name}.svg": figure.svg for figure in report.figures},
    }
    for name, text in texts.items():
        with written_whole(directory / name) as part:
            part.write_text(text, encoding="utf-8", newline="\n")


def read_report(directory: Path) -> Report:
    """The report in a directory, or of its `report.json`.

    Raises:
        ValueError: There is none, or it is damaged.
    """
    path = directory / RECORD if directory.is_dir() else directory
    if not path.is_file():
        raise ValueError(f"there is no {RECORD} in {str(directory)!r}; give the directory of an experiment's results")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is damaged, expected JSON: {error}") from None
    return report_from_json(content)
