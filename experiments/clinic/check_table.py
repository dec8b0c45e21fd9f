"""The check report for a terminal."""

from rich.table import Table

from experiments.clinic.check import CheckReport
from experiments.clinic.measurement import Measurement

__all__ = ["render_report"]


NUMBERS = ("n", "value", "95 % interval", "bar", "null")


def render_report(report: CheckReport) -> Table:
    """One row per figure: value, interval, bar, null, verdict; `--json` names each null."""
    verdict = "every bar is met" if not report.failed else f"{len(report.failed)} missed"
    title = f"Bundled clinical model: {verdict}"
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("figure", ratio=1)
    for heading in NUMBERS:
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for measurement in report.measurements:
        table.add_row(*_cells(measurement))
    return table


def _cells(m: Measurement) -> tuple[str, ...]:
    interval = "" if m.low is None or m.high is None else f"{m.low:.3f} to {m.high:.3f}"
    bar = "" if m.bar is None else f"{'<=' if m.at_most else '>='} {m.bar:g}"
    null = "" if m.null is None else f"{m.null:.2f}"
    verdict = "" if m.bar is None else ("ok" if m.passed else "MISSED")
    return m.name, str(m.n), f"{m.value:.3f}", interval, bar, null, verdict
