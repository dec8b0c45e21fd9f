"""The rows of a table as points with their intervals, one below the other, beside their null."""

from collections.abc import Sequence
from textwrap import fill
from typing import Any

from matplotlib import pyplot

from experiments.clinical_reasoning.drawing import NULL_COLOUR, whiskers
from experiments.domain_vs_broad.figures import COLOURS
from experiments.report.contents import Row
from experiments.report.picture import svg_of
from sae.measurement import Measurement

__all__ = ["row_picture"]

ROW_HEIGHT = 0.36
LABEL_WIDTH = 44
OFFSET = 0.16
"""Of a second column's points from the row's line, and of nulls."""


def row_picture(
    rows: Sequence[Row],
    columns: Sequence[str],
    label: str,
    *,
    null: str | None = None,
    lines: Sequence[tuple[str, float]] = (),
    limits: tuple[float, float] | None = None,
) -> str:
    """The picture as SVG.

    Args:
        rows: From top to bottom.
        columns: Which numbers, a colour each.
        label: Of the axis.
        null: Which null of the rows, in grey; none by default.
        lines: Values to compare with, each with its name, as dashed lines.
        limits: Of the axis.
    """
    figure, panel = pyplot.subplots(figsize=(8.4, ROW_HEIGHT * len(rows) + 1.4), layout="constrained")
    names: list[str] = [*columns, *([null] if null else [])]
    for place, name in enumerate(names):
        colour = NULL_COLOUR if name == null else COLOURS[place]
        shift = OFFSET * (place - (len(names) - 1) / 2)
        found = [(y, cell) for y, row in enumerate(rows) if (cell := _cell(row, name)) is not None]
        if found:
            panel.errorbar(
                [cell.value for _, cell in found],
                [y + shift for y, _ in found],
                xerr=whiskers([cell for _, cell in found]),
                fmt="o",
                markersize=5,
                color=colour,
                label=name,
            )
    for index, (name, value) in enumerate(lines):
        panel.axvline(value, color="#555555", linewidth=1, linestyle=("--", ":")[index % 2], label=name, zorder=0)
    panel.set_yticks(range(len(rows)), [fill(row.label, LABEL_WIDTH) for row in rows])
    panel.set(xlabel=label, ylim=(len(rows) - 0.5, -0.5))
    if limits is not None:
        panel.set_xlim(*limits)
    panel.grid(axis="y", color="#eeeeee")
    panel.set_axisbelow(True)
    panel.spines[["top", "right"]].set_visible(False)
    figure.legend(*panel.get_legend_handles_labels(), loc="outside upper center", ncols=4, frameon=False)
    return svg_of(figure)


def _cell(row: Row, name: str) -> Any:
    cell = row.cells.get(name, row.nulls.get(name))
    return cell if isinstance(cell, Measurement) and cell.value is not None else None
