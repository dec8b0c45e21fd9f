"""An evaluation as a picture: what is kept by size beside the nulls, what is left without it, the grid of shares."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from circuits.drawing.palette import SUPPORTS_FOIL, SUPPORTS_TARGET
from circuits.drawing.summary import quoted
from sae.written_whole import written_whole

__all__ = ["draw_evaluation", "evaluation_figure"]

Record = Mapping[str, Any]

COLOURS = {"at_baseline": SUPPORTS_TARGET, "kept": SUPPORTS_FOIL, "as_nodes": "#2f8f6b"}
INK, FAINT_INK, GUIDE = "#1f2933", "#616e7c", "#dde1e6"
WIDTH, HEIGHT, DOTS_PER_INCH = 13.0, 4.4, 150
"""Inches."""


def draw_evaluation(record: Record, path: Path | str) -> None:
    """Write the picture of an evaluation as PNG.

    Args:
        record: As in `evaluation.json`.
        path: File to write.

    Raises:
        ValueError: The file cannot be written.
    """
    with written_whole(Path(path)) as part:
        evaluation_figure(record).savefig(part, format="png")


def evaluation_figure(record: Record) -> Figure:
    """The picture: three panels."""
    figure = Figure(figsize=(WIDTH, HEIGHT), dpi=DOTS_PER_INCH, facecolor="white", layout="constrained")
    title = f"{quoted(record['target'])} against {quoted(record['foil'])}, {record['baseline']} baseline"
    if record["faithfulness"]["reason"]:
        title += ": shares are withheld"
    figure.suptitle(title, color=INK, x=0.01, ha="left", parse_math=False)
    kept, left, grid = figure.subplots(1, 3)
    _by_size(kept, record, "faithfulness")
    _draw_nulls(kept, record)
    _by_size(left, record, "completeness")
    _by_share(grid, record)
    for axes in (kept, left, grid):
        if axes.get_legend_handles_labels()[0]:
            axes.legend(frameon=False, fontsize=7.5, labelcolor=FAINT_INK)
    return figure


def _by_size(axes: Axes, record: Record, name: str) -> None:
    note = "kept by the nodes" if name == "faithfulness" else "kept by the other nodes: low is good"
    _prepare(axes, f"{name}, {note}", "nodes")
    axes.set_xscale("log")
    for errors, curve in record["curves"].items():
        _line(axes, [point["n_nodes"] for point in curve], [point[name] for point in curve], errors)
    found = record[name]["value"]
    if found is not None:
        axes.plot([record["n_nodes"]], [found], "o", mfc="white", mec=INK, label="the circuit", zorder=5)


def _by_share(axes: Axes, record: Record) -> None:
    _prepare(axes, "faithfulness by share of all nodes that differ", "share of nodes")
    axes.set_xscale("log")
    for errors, areas in record["areas"].items():
        shares = [point["share"] for point in areas["grid"]]
        values = "" if areas["cpr"]["value"] is None else f", CPR {areas['cpr']['value']:.2f}"
        _line(axes, shares, [point["signed"] for point in areas["grid"]], errors, after=values)
        values = "" if areas["cmd"]["value"] is None else f", CMD {areas['cmd']['value']:.2f}"
        _line(axes, shares, [point["absolute"] for point in areas["grid"]], errors, after=values, dash="--")


def _line(
    axes: Axes, x: Sequence[float | int], estimates: Sequence[Record], errors: str, *, after: str = "", dash: str = "-"
) -> None:
    """A curve with its band; what is withheld is left out."""
    points = [(at, found) for at, found in zip(x, estimates, strict=True) if found["value"] is not None]
    if not points:
        return
    at = [where for where, _ in points]
    label = f"errors {errors.replace('_', ' ')}{after}"
    axes.plot(at, [found["value"] for _, found in points], dash, color=COLOURS[errors], lw=1.6, label=label)
    if all(found["low"] is not None for _, found in points):
        low, high = ([found[end] for _, found in points] for end in ("low", "high"))
        axes.fill_between(at, low, high, color=COLOURS[errors], alpha=0.12, lw=0)


def _draw_nulls(axes: Axes, record: Record) -> None:
    """Each null at the circuit's size: its mean, and from its lowest to its highest draw."""
    measured = [null["faithfulness"] for null in record["nulls"].values() if null["faithfulness"]["mean"] is not None]
    for index, kept in enumerate(measured):
        ends = [[kept["mean"] - kept["low"]], [kept["high"] - kept["mean"]]]
        label = "nulls at the circuit's size" if index == 0 else None
        style: dict[str, Any] = {"fmt": "x", "color": FAINT_INK, "ms": 4, "lw": 0.8, "capsize": 2}
        axes.errorbar([record["n_nodes"]], [kept["mean"]], yerr=ends, label=label, **style)


def _prepare(axes: Axes, title: str, below: str) -> None:
    axes.set_title(title, fontsize=9.5, color=INK, loc="left")
    axes.set_xlabel(below, fontsize=8.5, color=FAINT_INK)
    axes.tick_params(labelsize=8, colors=FAINT_INK)
    axes.spines[["top", "right"]].set_visible(False)
    axes.axhline(0, color=GUIDE, lw=0.8, zorder=0)
    axes.axhline(1, color=GUIDE, lw=0.8, zorder=0)
