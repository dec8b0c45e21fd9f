"""A circuit as a picture: tokens from left to right, sites upwards by depth.

Colour is the sign of a contribution and area its size; edges run upwards, as wide as their effect is large.
"""

import math
import textwrap
import warnings
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from circuits.drawing.layout import Layout, lay_out
from circuits.drawing.palette import SUPPORTS_FOIL, SUPPORTS_TARGET, faded
from circuits.drawing.plot_labels import draw_labels
from circuits.drawing.plot_marks import DotScale, draw_edges, draw_nodes, drawn_edges
from circuits.drawing.summary import faithfulness_line, metric_line, quoted, size_line
from circuits.graph.circuit import Circuit, strongest
from sae.written_whole import written_whole

__all__ = ["circuit_figure", "draw_circuit"]

FORMATS: dict[str, dict[str, Any]] = {".png": {}, ".svg": {"Date": None}, ".pdf": {"CreationDate": None}}
"""Suffixes, and the metadata that keeps the time of drawing out of the file."""

NARROWEST, WIDE, WIDEST, LOWEST = 9.0, 20.0, 60.0, 1.6
LEFT, RIGHT, BELOW = 1.15, 0.3, 1.3
SLOT, SMALLEST_SLOT, LARGEST_SLOT = 0.36, 0.12, 0.55
SMALLEST_LINE = 0.3
NARROWEST_SLANTED_COLUMN = 0.19
TITLE_LINE, TEXT_LINE, LEGEND_GAP, LEGEND_LINE, LEGEND_ENTRY = 0.4, 0.2, 0.14, 0.34, 2.05
"""Lengths in inches."""

INK, FAINT_INK, PALE_INK, GUIDE, BAND = "#1f2933", "#616e7c", "#9aa5b1", "#dde1e6", "#f3f5f7"
TITLE_FONT, TEXT_FONT = 15.0, 9.5
DOTS_PER_INCH, MOST_PIXELS = 150, 16_000


def draw_circuit(circuit: Circuit, path: Path | str, *, n_labels: int = 12) -> None:
    """Write the picture to `path`, as PNG, SVG or PDF by its suffix.

    Args:
        circuit: What to draw.
        path: File to write.
        n_labels: How many of the strongest nodes are named in the picture.

    Raises:
        ValueError: If the suffix is another or the file cannot be written.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in FORMATS:
        raise ValueError(f"picture {str(path)!r} must end in {', '.join(FORMATS)}")
    with warnings.catch_warnings(), written_whole(path) as part:
        # A token in a script that the font lacks is drawn as a box; that is no reason to disturb the user.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure = circuit_figure(circuit, n_labels=n_labels)
        figure.savefig(part, format=suffix[1:], metadata=FORMATS[suffix], bbox_inches="tight", pad_inches=0.25)


def circuit_figure(circuit: Circuit, *, n_labels: int = 12) -> Figure:
    """The picture as a matplotlib figure."""
    layout = lay_out(circuit)
    slot = _slot(layout)
    nodes = strongest(circuit.nodes)
    scale = DotScale.of(circuit, slot * 72)
    figure, axes = _sheet(layout, slot, heading=_heading(circuit, layout.width * slot), legend=_legend(circuit, scale))
    _draw_frame(axes, circuit, layout, is_slanted=slot >= NARROWEST_SLANTED_COLUMN)
    draw_edges(axes, circuit, layout)
    draw_nodes(axes, nodes, layout, scale)
    draw_labels(axes, nodes, layout, scale, n_labels=n_labels)
    if not nodes:
        axes.text(0.5, 0.5, "No node passed the selection.", transform=axes.transAxes, ha="center", color=FAINT_INK)
    return figure


def _slot(layout: Layout) -> float:
    """Inches a slot: the usual size unless the figure would become too narrow, too wide or too dense to read."""
    narrowest, wide, widest = ((width - LEFT - RIGHT) / layout.width for width in (NARROWEST, WIDE, WIDEST))
    comfortable = min(LARGEST_SLOT, wide, max(SLOT, narrowest))
    return min(widest, max(SMALLEST_SLOT, comfortable))


def _sheet(layout: Layout, slot: float, *, heading: list[str], legend: list[Line2D]) -> tuple[Figure, Axes]:
    """A figure with title and legend above, and axes with room for site names left and tokens below."""
    inner_width = max(layout.width * slot, NARROWEST - LEFT - RIGHT)
    inner_height = max(layout.height * max(slot, SMALLEST_LINE), LOWEST)
    width = LEFT + inner_width + RIGHT
    legend_columns = max(1, int(width / LEGEND_ENTRY))
    text_height = TITLE_LINE + TEXT_LINE * (len(heading) - 1) + LEGEND_GAP
    above = text_height + LEGEND_LINE * math.ceil(len(legend) / legend_columns) + 0.1
    height = above + inner_height + BELOW
    dpi = min(DOTS_PER_INCH, MOST_PIXELS / max(width, height))
    figure = Figure(figsize=(width, height), dpi=dpi, facecolor="white")
    _draw_heading(figure, heading)
    figure.legend(
        handles=legend, loc="upper left", bbox_to_anchor=(0.0, 1 - text_height / height), ncols=legend_columns,
        frameon=False, fontsize=TEXT_FONT, labelcolor=INK, borderpad=0, borderaxespad=0, handlelength=2.6,
        handletextpad=0.5, columnspacing=1.6, labelspacing=0.9,
    )  # fmt: skip
    axes = figure.add_axes((LEFT / width, BELOW / height, inner_width / width, inner_height / height))
    margin = (inner_width / slot - layout.width) / 2
    axes.set(xlim=(-margin, layout.width + margin), ylim=(0, layout.height or 1))
    return figure, axes


def _draw_frame(axes: Axes, circuit: Circuit, layout: Layout, *, is_slanted: bool) -> None:
    """Tokens, site names, a band behind every other site and a guide above each token that has nodes."""
    axes.set_frame_on(False)
    axes.tick_params(length=0, labelsize=TEXT_FONT, labelcolor=INK)
    axes.set_yticks([row.y for row in layout.rows], [str(row.site) for row in layout.rows])
    turned = {"rotation": 45, "ha": "right", "rotation_mode": "anchor"} if is_slanted else {"rotation": 90}
    labels = [column.text(circuit.tokens) for column in layout.columns]
    axes.set_xticks([column.x for column in layout.columns], labels, parse_math=False, **turned)
    occupied = {node.position for node in circuit.nodes}
    for column, label in zip(layout.columns, axes.get_xticklabels(), strict=True):
        if column.first in occupied:
            axes.axvline(column.x, color=GUIDE, linewidth=0.8, zorder=1)
        else:
            label.set_color(PALE_INK)
    for row in layout.rows[::2]:
        axes.axhspan(row.y - row.height / 2, row.y + row.height / 2, color=BAND, linewidth=0, zorder=0)


def _heading(circuit: Circuit, width: float) -> list[str]:
    """The title and, wrapped to `width` inches, the lines below it."""
    letters = int(max(width + LEFT, NARROWEST - RIGHT) * 72 / (0.5 * TEXT_FONT))
    lines = [f"{size_line(circuit)}; {metric_line(circuit)}", faithfulness_line(circuit)]
    return [f"{quoted(circuit.target)} against {quoted(circuit.foil)}"] + [
        part for line in lines for part in textwrap.wrap(line, letters)
    ]


def _draw_heading(figure: Figure, heading: list[str]) -> None:
    height = figure.get_figheight()
    figure.text(0, 1, heading[0], fontsize=TITLE_FONT, weight="bold", color=INK, va="top", parse_math=False)
    for line, text in enumerate(heading[1:]):
        y = 1 - (TITLE_LINE - 0.07 + line * TEXT_LINE) / height
        figure.text(0, y, text, fontsize=TEXT_FONT, color=FAINT_INK, va="top", parse_math=False)


def _legend(circuit: Circuit, scale: DotScale) -> list[Line2D]:
    marks = [
        _mark("o", SUPPORTS_TARGET, 8.0, f"supports {quoted(circuit.target)}"),
        _mark("o", SUPPORTS_FOIL, 8.0, f"supports {quoted(circuit.foil)}"),
    ]
    for size in (scale.largest_contribution, scale.largest_contribution / 5) if circuit.nodes else ():
        marks.append(_mark("o", PALE_INK, scale.diameter(size), f"contributes {size:.2g} {circuit.metric.unit}"))
    if any(node.selection_frequency is not None for node in circuit.nodes):
        marks.append(_mark("o", faded(PALE_INK, 0.2), 8.0, "faint: kept in few resamples", edge=PALE_INK))
    if any(node.exact_effect is not None for node in circuit.nodes):
        marks.append(_mark("$\\odot$", PALE_INK, 10.0, "ring: effect measured"))
    if circuit.errors:
        marks.append(_mark("D", "white", 7.0, "SAE error, not counted", edge=FAINT_INK))
    if circuit.edges:
        marks.append(Line2D([], [], color=PALE_INK, linewidth=2, label=_edge_text(circuit)))
    return marks


def _mark(marker: str, colour: str, diameter: float, label: str, *, edge: str | None = None) -> Line2D:
    return Line2D(
        [], [], linestyle="none", marker=marker, markersize=diameter, markerfacecolor=colour,
        markeredgecolor=edge or colour, label=label,
    )  # fmt: skip


def _edge_text(circuit: Circuit) -> str:
    shown = len(drawn_edges(circuit))
    if shown < len(circuit.edges):
        return f"strongest {shown} of {len(circuit.edges)} edges"
    return "edge, wide as |effect|"
