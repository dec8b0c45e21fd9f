"""Figures that are drawn from the tables of the report: what stands there, to be seen at a glance."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib import pyplot

from experiments.domain_vs_broad.figures import COLOURS
from experiments.report.contents import Figure, Row, Table
from experiments.report.picture import svg_of
from experiments.report.wording import figure_of
from sae.measurement import Measurement

__all__ = ["class_figure", "overlap_figure", "two_by_two_figure"]

NULL_COLOUR = "#999999"
GROUP_WIDTH = 0.6
LOWEST = -0.1
"""Explained variance below it lies outside the picture."""
EV = "explained variance"


def two_by_two_figure(table: Table, host: str) -> Figure:
    """Explained variance of the domain arm and the broad one on either text, as a matrix of four."""
    texts = ("domain", "broad")
    found = {row.label: row.cells.get(EV) for row in table.rows}
    values = [[found.get(f"trained on {arm}, judged on {text}") for text in texts] for arm in texts]
    shades = np.array([[_height(cell) for cell in row] for row in values])
    figure, panel = pyplot.subplots(figsize=(4.6, 3.6), layout="constrained")
    panel.imshow(shades, cmap="Blues", vmin=0, vmax=1)
    for i, row in enumerate(values):
        for j, cell in enumerate(row):
            dark = _known(cell) and shades[i, j] > 0.55
            panel.text(j, i, _two_lines(cell), ha="center", va="center", color="white" if dark else "black")
    panel.set_xticks(range(2), [f"judged on\n{text}" for text in texts])
    panel.set_yticks(range(2), [f"trained on\n{arm}" for arm in texts])
    panel.tick_params(length=0)
    panel.spines[:].set_visible(False)
    return Figure(
        f"two_by_two_{host}",
        f"Explained variance of either arm on either text, host {host} adaptation",
        f"Explained variance with its 95 % interval, host {host} adaptation; columns are at one measured L0 each. "
        "Empty where the two arms share no L0 on that text.",
        svg_of(figure),
    )


def class_figure(table: Table, host: str) -> Figure:
    """Explained variance of every arm and null at each kind of position."""
    figure = _points(table.rows, table.columns, EV)
    return Figure(
        f"classes_{host}",
        f"{table.title}, as a picture",
        f"{table.title}. Whiskers are 95 % intervals over documents and seeds. Below 0 is worse than the mean of "
        "that kind of position; what is not in the picture is more than 0.1 below.",
        svg_of(figure),
    )


def overlap_figure(table: Table, host: str) -> Figure:
    """The share of the domain arm's features that each arm has, beside a second seed's and chance."""
    figure = _points(table.rows, table.columns, "share of the domain arm's features", nulls=table.nulls)
    return Figure(
        f"overlap_{host}",
        f"{table.title}, as a picture",
        f"{table.title}. Whiskers are 95 % intervals over features; grey is the same dictionary turned at random.",
        svg_of(figure),
    )


def _points(rows: Sequence[Row], columns: Sequence[str], label: str, *, nulls: Sequence[str] = ()) -> Any:
    """A group of points with their intervals for each row, one point a column; nulls in grey."""
    names = [name for name in (*columns, *nulls) if any(_cell(row, name) is not None for row in rows)]
    figure, panel = pyplot.subplots(figsize=(max(5.0, 1.1 * len(rows) + 2), 3.6), layout="constrained")
    for place, name in enumerate(names):
        found = [(x, cell) for x, row in enumerate(rows) if (cell := _cell(row, name)) is not None]
        panel.errorbar(
            [x + (place - (len(names) - 1) / 2) * GROUP_WIDTH / len(names) for x, _ in found],
            [cell.value for _, cell in found],
            yerr=np.array([_whiskers(cell) for _, cell in found]).T,
            fmt="o",
            markersize=5,
            color=NULL_COLOUR if name in nulls else COLOURS[place],
            label=name,
        )
    for edge in range(1, len(rows)):
        panel.axvline(edge - 0.5, color="#dddddd", linewidth=0.8)
    panel.set_xticks(range(len(rows)), [row.label for row in rows], rotation=25, ha="right")
    panel.set(ylabel=label, xlim=(-0.5, len(rows) - 0.5), ylim=(LOWEST, 1.02))
    panel.spines[["top", "right"]].set_visible(False)
    figure.legend(*panel.get_legend_handles_labels(), loc="outside right center", frameon=False)
    return figure


def _cell(row: Row, name: str) -> Any:
    """A measured number of a row; None where it has none."""
    cell = row.cells.get(name, row.nulls.get(name))
    return cell if _known(cell) else None


def _whiskers(cell: Any) -> tuple[float, float]:
    """How far the interval reaches below and above the value, which a resample's percentiles may not enclose."""
    if cell.low is None or cell.high is None:
        return 0.0, 0.0
    return max(0.0, cell.value - cell.low), max(0.0, cell.high - cell.value)


def _known(cell: Measurement | str | None) -> bool:
    return isinstance(cell, Measurement) and cell.value is not None


def _height(cell: Measurement | str | None) -> float:
    """The value, or not a number where there is none."""
    return cell.value if isinstance(cell, Measurement) and cell.value is not None else float("nan")


def _two_lines(cell: Measurement | str | None) -> str:
    if not isinstance(cell, Measurement) or cell.value is None:
        return "no common L0"
    if cell.low is None or cell.high is None:
        return figure_of(cell)
    return f"{cell.value:.2f}\n{cell.low:.2f} to {cell.high:.2f}"
