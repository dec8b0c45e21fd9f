"""The curves over the number of latents, a panel an operation."""

from collections.abc import Sequence
from typing import Any

from matplotlib import pyplot
from matplotlib.ticker import FixedLocator, FormatStrFormatter, NullLocator

from experiments.clinical_reasoning.drawing import NULL_COLOUR
from experiments.domain_vs_broad.figures import COLOURS
from experiments.report.contents import Figure, Table
from experiments.report.picture import svg_of
from sae.measurement import Measurement

__all__ = ["curve_figure"]

NULL_LINES = ("--", ":")
DRAWN = 3
"""Columns of a table that are curves."""


def curve_figure(tables: Sequence[Table], sizes: Sequence[int], titles: Sequence[str]) -> Figure:
    """Shares of the total effect by number of latents, nulls in grey.

    Args:
        tables: One an operation; a row for each size.
        sizes: In the order of the rows.
        titles: Of the panels.
    """
    figure, panels = pyplot.subplots(
        1, len(tables), figsize=(12, 3.8), sharey=True, layout="constrained", squeeze=False
    )
    for panel, table, title in zip(panels[0], tables, titles, strict=True):
        for column, colour in zip(table.columns[:DRAWN], (COLOURS[0], COLOURS[2], COLOURS[1]), strict=True):
            _curve(panel, sizes, [row.cells.get(column) for row in table.rows], column, color=colour)
        for null, style in zip(table.nulls, NULL_LINES, strict=False):
            cells = [row.nulls.get(null) for row in table.rows]
            _curve(panel, sizes, cells, f"null: {null}", color=NULL_COLOUR, linestyle=style)
        panel.set(xscale="log", title=title, xlabel="latents")
        panel.xaxis.set_major_locator(FixedLocator([float(size) for size in sizes]))
        panel.xaxis.set_major_formatter(FormatStrFormatter("%g"))
        panel.xaxis.set_minor_locator(NullLocator())
        panel.axhline(1, color="#bbbbbb", linewidth=0.6)
        panel.axhline(0, color="#000000", linewidth=0.6)
        panel.spines[["top", "right"]].set_visible(False)
    panels[0][0].set_ylabel("share of the total effect")
    figure.legend(*panels[0][0].get_legend_handles_labels(), loc="outside lower center", frameon=False, ncols=5)
    return Figure(
        "necessity_sufficiency",
        "Share of the total effect by number of latents",
        "Left two: what is lost when latents of the prompt are set to the changed prompt's values, or to 0. Right two: "
        "what is regained when they are put into the changed prompt, all else free or held. Bands are 95 % intervals "
        "over templates; grey lines are nulls.",
        svg_of(figure),
    )


def _curve(panel: Any, sizes: Sequence[int], cells: Sequence[Any], label: str, **style: Any) -> None:
    known = [
        (size, cell)
        for size, cell in zip(sizes, cells, strict=True)
        if isinstance(cell, Measurement) and cell.value is not None
    ]
    if not known:
        return
    panel.plot([size for size, _ in known], [cell.value for _, cell in known], label=label, **style)
    band = [(size, cell.low, cell.high) for size, cell in known if cell.low is not None]
    if band:
        panel.fill_between(*zip(*band, strict=True), color=style["color"], alpha=0.15, linewidth=0)
