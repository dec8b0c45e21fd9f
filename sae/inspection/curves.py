"""How a training run went: its `metrics.jsonl` as a picture of small panels, one curve a dictionary."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import EngFormatter, FuncFormatter, LogLocator, NullLocator

from sae.written_whole import written_whole

__all__ = ["METRICS_FILE", "curves_figure", "draw_curves", "read_metrics"]

METRICS_FILE = "metrics.jsonl"

Record = dict[str, Any]
Metrics = Mapping[str, Sequence[Record]]

INK, FAINT_INK, GUIDE = "#1f2933", "#616e7c", "#dde1e6"
COLOURS = ("#2468b4", "#d9691a", "#2f8f6b", "#7048c6", "#b8448c", "#8a6d1d", "#4aa3c7", "#616e7c")
"""Told apart by the colour-blind in this order; more dictionaries than colours begin again, with another dash."""
DASHES = ("-", (0, (4, 1.6)), (0, (1.2, 1.4)))
PANEL_WIDTH, PANEL_HEIGHT, TITLE_HEIGHT, LEGEND_LINE = 3.7, 2.35, 0.6, 0.24
"""Inches."""
COLUMNS = 3
DOTS_PER_INCH = 150


@dataclass(frozen=True)
class Panel:
    """One quantity against the tokens seen.

    Attributes:
        title: What is drawn.
        value: From a record to the number, or None where the record has none.
        target: The number that it should reach, drawn dashed.
        scale: Of the vertical axis.
        is_share: Whether to write values in per cent.
        from_zero: Whether the axis begins at 0.
    """

    title: str
    value: Callable[[Record], float | None]
    target: Callable[[Record], float | None] | None = None
    scale: str = "linear"
    is_share: bool = False
    from_zero: bool = False


def field(*names: str) -> Callable[[Record], float | None]:
    """Reads a number from a record, or from a record within it; None where it is missing or not finite."""

    def read(record: Record) -> float | None:
        value: Any = record
        for name in names:
            value = value.get(name) if isinstance(value, dict) else None
        is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        return float(value) if is_number else None

    return read


def _explained_variance(record: Record) -> float | None:
    fvu = field("fvu")(record)
    return None if fvu is None else 1 - fvu


PANELS = (
    Panel("explained variance", _explained_variance),
    Panel("L0, target dashed", field("l0"), target=field("l0_target"), scale="log"),
    Panel("dead features", field("dead_share"), is_share=True),
    Panel("features on over 10 % of tokens", field("dense_share"), is_share=True),
    Panel("learning rate", field("learning_rate"), from_zero=True),
    Panel("median threshold, activation scales", field("thresholds", "median")),
    Panel("sparsity coefficient (controller)", field("thresholds", "coefficient"), scale="log"),
    Panel("pre-activations in the window", field("thresholds", "window_share"), is_share=True),
    Panel("tokens a second", field("clock", "tokens_per_second"), from_zero=True),
)


def draw_curves(run: Path | str, path: Path | str) -> None:
    """Write the curves of a run directory to a PNG file.

    Raises:
        ValueError: If the directory has no usable metrics, or the file cannot be written.
    """
    run = Path(run)
    figure = curves_figure(read_metrics(run / METRICS_FILE), title=run.resolve().name)
    with written_whole(Path(path)) as part:
        figure.savefig(part, format="png")


def read_metrics(path: Path) -> dict[str, list[Record]]:
    """The records of a metrics file by dictionary; a last line that was cut off is left out.

    Raises:
        ValueError: If the file is missing, holds no record, or has a line that is not one.
    """
    if not path.is_file():
        raise ValueError(f"there are no training metrics at {path}; give the output directory of sae train")
    metrics: dict[str, list[Record]] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(keepends=True), 1):
        if not line.endswith("\n"):
            break
        try:
            record = json.loads(line)
            metrics.setdefault(str(record["sae"]), []).append(record)
        except (ValueError, KeyError, TypeError):
            raise ValueError(
                f"line {number} of {path} is no record of a step; restore the file or train again"
            ) from None
    if not metrics:
        raise ValueError(f"{path} holds no record yet; wait for the first steps or train again")
    return metrics


def curves_figure(metrics: Metrics, *, title: str) -> Figure:
    """The picture; a panel is left out where no record has its number."""
    drawn = [panel for panel in PANELS if any(panel.value(each) is not None for each in _all_records(metrics))]
    columns = min(COLUMNS, len(drawn)) or 1
    rows = math.ceil(len(drawn) / columns) or 1
    legend_rows = math.ceil(len(metrics) / columns) if len(metrics) > 1 else 0
    head = TITLE_HEIGHT + LEGEND_LINE * legend_rows
    width, height = PANEL_WIDTH * columns, PANEL_HEIGHT * rows + head
    figure = Figure(figsize=(width, height), dpi=DOTS_PER_INCH, facecolor="white")
    engine = ConstrainedLayoutEngine(rect=(0.005, 0.005, 0.99, 1 - head / height), w_pad=0.12, h_pad=0.1)
    figure.set_layout_engine(engine)

    at_left: dict[str, Any] = {"x": 0.12 / width, "va": "top", "parse_math": False}
    figure.text(y=1 - 0.15 / height, s=title, fontsize=13, fontweight="bold", color=INK, **at_left)
    figure.text(y=1 - 0.38 / height, s=_subtitle(metrics), fontsize=8.5, color=FAINT_INK, **at_left)
    grid = figure.subplots(rows, columns, squeeze=False).flatten()
    for axes, panel in zip(grid, drawn, strict=False):
        _draw_panel(axes, panel, metrics)
    for axes in grid[len(drawn) :]:
        axes.set_visible(False)
    if legend_rows:
        _draw_legend(figure, grid[0], columns, top=1 - TITLE_HEIGHT / height)
    return figure


def _all_records(metrics: Metrics) -> list[Record]:
    return [record for records in metrics.values() for record in records]


def _subtitle(metrics: Metrics) -> str:
    """How far the run came."""
    last = max((field("step")(record) or 0, field("tokens")(record) or 0) for record in _all_records(metrics))
    count = f"{len(metrics)} SAEs, " if len(metrics) > 1 else f"{next(iter(metrics))}, "
    return f"{count}{last[0]:,.0f} steps, {last[1]:,.0f} tokens"


def _draw_panel(axes: Axes, panel: Panel, metrics: Metrics) -> None:
    everything: list[float] = []
    for index, (name, records) in enumerate(metrics.items()):
        tokens, values = _points(records, panel.value)
        colour, dash = COLOURS[index % len(COLOURS)], DASHES[index // len(COLOURS) % len(DASHES)]
        marker = "o" if len(tokens) == 1 else ""
        axes.plot(tokens, values, color=colour, linestyle=dash, linewidth=1.4, marker=marker, markersize=3, label=name)
        everything += values
        if panel.target is not None:
            axes.plot(*_points(records, panel.target), color=colour, linestyle=(0, (2, 2)), linewidth=1.0, alpha=0.75)
    _dress(axes, panel, everything)


def _points(records: Sequence[Record], value: Callable[[Record], float | None]) -> tuple[list[float], list[float]]:
    """Tokens seen and the number there, where both are known."""
    pairs = [(field("tokens")(each), value(each)) for each in records]
    known = [(x, y) for x, y in pairs if x is not None and y is not None]
    return [x for x, _ in known], [y for _, y in known]


def _dress(axes: Axes, panel: Panel, values: Sequence[float]) -> None:
    axes.set_title(panel.title, loc="left", fontsize=9, color=INK)
    axes.tick_params(labelsize=7.5, labelcolor=FAINT_INK, color=GUIDE, length=3)
    axes.grid(color=GUIDE, linewidth=0.6)
    axes.set_axisbelow(True)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(GUIDE)
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.set_xlim(left=0)
    _scale(axes, panel, values)


def _scale(axes: Axes, panel: Panel, values: Sequence[float]) -> None:
    """Linear, or logarithmic where the numbers allow it and span enough; ticks in plain numbers."""
    axes.yaxis.set_major_formatter(
        FuncFormatter(lambda value, _: f"{100 * value:g} %" if panel.is_share else f"{value:g}")
    )
    if panel.scale == "log" and min(values) > 0 and max(values) > 3 * min(values):
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=12))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.yaxis.set_minor_locator(NullLocator())
    elif panel.is_share or panel.from_zero:
        axes.set_ylim(0, 1.08 * max(values) or 0.01)


def _draw_legend(figure: Figure, axes: Axes, columns: int, *, top: float) -> None:
    handles, names = axes.get_legend_handles_labels()
    figure.legend(
        handles, names, loc="upper left", bbox_to_anchor=(0.12 / figure.get_figwidth(), top), ncols=columns,
        frameon=False, fontsize=8, labelcolor=INK, borderpad=0, borderaxespad=0, handlelength=2.4, columnspacing=2.0,
    )  # fmt: skip
