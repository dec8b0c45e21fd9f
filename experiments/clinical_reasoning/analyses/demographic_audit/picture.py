"""Effects of mentions beside irrelevant words, and what is left of them when something is taken away."""

from collections.abc import Sequence
from textwrap import fill
from typing import Any

from matplotlib import pyplot

from experiments.clinical_reasoning.drawing import NULL_COLOUR, whiskers
from experiments.domain_vs_broad.figures import COLOURS
from experiments.report.contents import Figure, Row, Table
from experiments.report.picture import svg_of
from sae.measurement import Measurement

__all__ = ["audit_figure"]

OFFSET = 0.15
LABEL_WIDTH = 24


def audit_figure(effects: Table, removals: Table) -> Figure:
    """Left mean |effect| of every mention, right the same after each removal; nulls in grey."""
    height = 0.5 * max(len(effects.rows), len(removals.rows)) + 1.5
    figure, panels = pyplot.subplots(1, 2, figsize=(10, height), layout="constrained")
    for panel, table, title in zip(panels, (effects, removals), ("every mention", "after a removal"), strict=True):
        _draw(panel, table.rows, table.columns[0], table.nulls[0], COLOURS[0])
        panel.set(title=title, xlabel=f"{table.columns[0]}, logits", ylim=(len(table.rows) - 0.5, -0.5))
        panel.set_xlim(left=-0.02 * panel.get_xlim()[1])
        panel.spines[["top", "right"]].set_visible(False)
        panel.grid(axis="y", color="#eeeeee")
        panel.legend(frameon=False, fontsize=8)
    return Figure(
        "demographic_audit",
        "Effects of mentions that must not matter",
        "Mean size of the effect of swapping a mention on m, left by mention beside words that describe no one, right "
        "over all mentions when latents or words are taken away, beside latents of equal density and magnitude. "
        "Whiskers are 95 % intervals over templates.",
        svg_of(figure),
    )


def _draw(panel: Any, rows: Sequence[Row], column: str, null: str, colour: str) -> None:
    for name, shift, shade in ((column, -OFFSET, colour), (null, OFFSET, NULL_COLOUR)):
        found = [(y, row.cells.get(name, row.nulls.get(name))) for y, row in enumerate(rows)]
        known = [(y, cell) for y, cell in found if isinstance(cell, Measurement) and cell.value is not None]
        if known:
            panel.errorbar(
                [cell.value for _, cell in known],
                [y + shift for y, _ in known],
                xerr=whiskers([cell for _, cell in known]),
                fmt="o",
                markersize=5,
                color=shade,
                label=name,
            )
    panel.set_yticks(range(len(rows)), [fill(row.label, LABEL_WIDTH) for row in rows])
