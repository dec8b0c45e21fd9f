"""The figure of mediation: what the latents carry, beside their nulls, the errors and the ceiling."""

from collections.abc import Sequence
from typing import Any

from matplotlib import pyplot

from experiments.clinical_reasoning.drawing import NULL_COLOUR, NULL_MARKS, whiskers
from experiments.domain_vs_broad.figures import COLOURS
from experiments.report.contents import Figure, Row, Table
from experiments.report.picture import svg_of
from sae.measurement import Measurement

__all__ = ["mediation_figure"]

WIDTH = 0.38


def mediation_figure(shares: Table, mediators: Table, places: Sequence[str]) -> Figure:
    """Bars of the chosen and the broad latents by number, nulls in grey; behind them all latents, errors, ceiling.

    Args:
        shares: Rows `top SIZE PLACE`; its first column, or where that is empty the second, and its third are drawn.
        mediators: The rows that end with a place have its last bars.
        places: In words; a panel each.
    """
    kind = shares.name.removeprefix("mediation_")
    figure, panels = pyplot.subplots(
        1, len(places), figsize=(11, 4.2), sharey=True, layout="constrained", squeeze=False
    )
    for panel, place in zip(panels[0], places, strict=True):
        rows = [row for row in shares.rows if row.label.endswith(place)]
        ends = next(row for row in mediators.rows if row.label == f"{kind}, {place}")
        _draw(panel, shares, rows, ends)
        panel.set_title(place)
    panels[0][0].set_ylabel("share of the total effect")
    figure.legend(*panels[0][0].get_legend_handles_labels(), loc="outside lower center", frameon=False, ncols=4)
    return Figure(
        f"mediation_{kind}",
        f"{shares.title}, by what is moved",
        f"{shares.title}. Bars: latents by number, then all latents, SAE errors, and whole activations as the ceiling. "
        "Whiskers are 95 % intervals over templates; grey marks are nulls.",
        svg_of(figure),
    )


def _draw(panel: Any, shares: Table, rows: Sequence[Row], ends: Row) -> None:
    known = [column for column in shares.columns[:3] if _known([row.cells.get(column) for row in rows])]
    drawn = [column for column in known if column != shares.columns[1] or shares.columns[0] not in known]
    for i, column in enumerate(drawn):
        cells = _known([row.cells.get(column) for row in rows])
        at = [x + (i - (len(drawn) - 1) / 2) * WIDTH for x in range(len(cells))]
        _bars(panel, at, cells, COLOURS[i], column)
    for null, mark in zip(shares.nulls, NULL_MARKS, strict=False):
        cells = _known([row.nulls.get(null) for row in rows])
        at = [x + 0.45 for x in range(len(cells))]
        panel.errorbar(
            at,
            [cell.value for cell in cells],
            yerr=whiskers(cells),
            fmt=mark,
            color=NULL_COLOUR,
            markersize=4,
            linewidth=0.8,
            label=f"null: {null}",
        )
    names = ("all latents", "SAE errors", "whole activations")
    for i, (name, colour) in enumerate(zip(names, (COLOURS[2], COLOURS[4], "#555555"), strict=True)):
        cells = _known([ends.cells.get(name)])
        _bars(panel, [len(rows) + 0.4 + i] * len(cells), cells, colour, None)
    ticks = [*range(len(rows)), *(len(rows) + 0.4 + i for i in range(len(names)))]
    labels = [" ".join(row.label.split()[:2]) for row in rows]
    panel.set_xticks(ticks, [*labels, *(name.replace(" ", "\n") for name in names)], fontsize=8)
    panel.axhline(0, color="#000000", linewidth=0.6)
    panel.axhline(1, color="#bbbbbb", linewidth=0.6)
    panel.spines[["top", "right"]].set_visible(False)


def _bars(panel: Any, at: Sequence[float], cells: Sequence[Measurement], colour: str, label: str | None) -> None:
    values = [cell.value for cell in cells]
    panel.bar(at, values, WIDTH, yerr=whiskers(cells), color=colour, label=label, error_kw={"linewidth": 0.8})


def _known(cells: Sequence[Measurement | str | None]) -> list[Measurement]:
    return [cell for cell in cells if isinstance(cell, Measurement) and cell.value is not None]
