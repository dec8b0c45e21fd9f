"""A report as Markdown: what a README quotes and a terminal shows."""

from collections.abc import Iterator

from experiments.report.contents import Report, Row, Section, Table
from experiments.report.wording import figure_of, interval_of
from sae.measurement import Measurement

__all__ = ["report_markdown"]


def report_markdown(report: Report) -> str:
    """The whole report; figures are links to files beside it."""
    return "\n".join(_lines(report)) + "\n"


def _lines(report: Report) -> Iterator[str]:
    yield f"# {report.title}"
    yield ""
    yield from (f"> {warning}" for warning in report.warnings)
    yield ""
    yield f"**Question.** {report.claim}"
    yield ""
    yield from (f"- {finding}" for finding in report.findings)
    for section in report.sections:
        yield from _section(section)
    yield ""
    seconds = sum(report.seconds.values())
    yield (
        f"Profile `{report.profile}`, {seconds / 60:.1f} minutes. Intervals are 95 %. "
        "Every number's record is in `report.json`."
    )


def _section(section: Section) -> Iterator[str]:
    yield ""
    yield f"## {section.title}"
    if section.text:
        yield ""
        yield section.text
    for table in section.tables:
        yield from _table(table)
    for figure in section.figures:
        yield ""
        yield f"![{figure.title}]({figure.name}.svg)"
        yield ""
        yield f"*{figure.caption}*"


def _table(table: Table) -> Iterator[str]:
    heads = ["", *table.columns, *(f"null: {name}" for name in table.nulls)]
    yield ""
    yield f"**{table.title}**"
    yield ""
    yield _row(heads)
    yield _row(["---"] * len(heads))
    yield from (_row([row.label, *_cells(row, table)]) for row in table.rows)
    if table.note:
        yield ""
        yield table.note


def _cells(row: Row, table: Table) -> Iterator[str]:
    yield from (_cell(row.cells.get(column)) for column in table.columns)
    yield from (_cell(row.nulls.get(name)) for name in table.nulls)


def _cell(cell: Measurement | str | None) -> str:
    if not isinstance(cell, Measurement):
        return cell or ""
    interval = interval_of(cell)
    return f"{figure_of(cell)} ({interval})" if interval else figure_of(cell)


def _row(cells: list[str]) -> str:
    escaped = (cell.replace("|", "\\|").replace("\n", " ") for cell in cells)
    return f"| {' | '.join(escaped)} |"
