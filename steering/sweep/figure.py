"""A sweep as a picture: what each method gains for its harm, and the edit's own curves over its strengths."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from sae.written_whole import written_whole
from steering.sweep.building import NULLS
from steering.sweep.choosing import MOST_PERPLEXITY
from steering.wording import AT

__all__ = ["draw_sweep", "sweep_figure"]

Record = Mapping[str, Any]

INK, FAINT_INK, GUIDE = "#1f2933", "#616e7c", "#dde1e6"
COLOURS = ("#2468b4", "#d9691a", "#2f8f6b", "#7048c6", "#b8448c")
"""Told apart by the colour-blind in this order; the first is the edit's."""
NULL_COLOURS = ("#616e7c", "#9aa5b1")
WIDTH, HEIGHT, DOTS_PER_INCH = 13.0, 5.0, 150
"""Inches."""
USABLE = "#eef4ec"
STEPS = 24
KL_TICKS = (0, 0.01, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20)
STRENGTH_PANELS = {
    "target_rate": "target rate",
    "kl_off_target": "off-target KL, nats a token",
    "perplexity_ratio": f"perplexity against plain text; usable below {MOST_PERPLEXITY:g}",
}


def draw_sweep(record: Record, path: Path | str) -> None:
    """Write the picture of a sweep as PNG.

    Args:
        record: As in `sweep.json`.
        path: File to write.

    Raises:
        ValueError: The file cannot be written.
    """
    with written_whole(Path(path)) as part:
        sweep_figure(record).savefig(part, format="png")


def sweep_figure(record: Record) -> Figure:
    """The picture: methods on the left, the edit's strengths on the right."""
    figure = Figure(figsize=(WIDTH, HEIGHT), dpi=DOTS_PER_INCH, facecolor="white", layout="constrained")
    edit = record["edit"]
    name = f"{edit['site']}/{edit.get('feature', edit.get('direction'))}"
    title = f"“{record['target']}” by {edit['operation']} of {name}, {AT.get(edit['positions'], edit['positions'])}"
    figure.suptitle(title, color=INK, x=0.01, ha="left", fontsize=12, weight="bold", parse_math=False)
    axes = figure.subplot_mosaic(
        [["methods", name] for name in STRENGTH_PANELS], width_ratios=[1.25, 1], gridspec_kw={"wspace": 0.06}
    )
    _draw_methods(axes["methods"], record)
    _draw_strengths([axes[name] for name in STRENGTH_PANELS], record)
    return figure


def _draw_methods(axes: Axes, record: Record) -> None:
    """Target rate against off-target KL, a line a method."""
    _prepare(axes, "target rate against harm", "off-target KL, nats a token (square-root scale)")
    names = list(dict.fromkeys(row["method"] for row in record["rows"]))
    colours, nulls = iter(COLOURS), iter(NULL_COLOURS)
    for name in names:
        rows = [row for row in record["rows"] if row["method"] == name]
        is_first, is_null = name == names[0], name in NULLS
        colour = next(nulls if is_null else colours)
        low, high = zip(*(row["intervals"]["target_rate"] for row in rows), strict=True)
        x, y = (_between([row[key] for row in rows]) for key in ("kl_off_target", "target_rate"))
        dash: Any = (0, (4, 1.6)) if is_null else "-"
        axes.plot(x, y, ls=dash, color=colour, lw=2.4 if is_first else 1.5, zorder=4 if is_first else 3)
        axes.plot(x[::STEPS], y[::STEPS], "o", color=colour, ms=4.5 if is_first else 3.2, zorder=4 if is_first else 3)
        axes.plot([], [], marker="o", ms=3.5, ls=dash, color=colour, lw=2.4 if is_first else 1.5, label=name)
        if None not in (*low, *high):
            axes.fill_between(x, _between(low), _between(high), color=colour, alpha=0.13, lw=0)
    axes.set_xscale("function", functions=(_signed_root, _signed_square))
    axes.set_xlim(0, 1.04 * max(row["kl_off_target"] for row in record["rows"]))
    axes.set_ylim(-0.03, 1.03)
    axes.set_xticks([tick for tick in KL_TICKS if tick < axes.get_xlim()[1]])
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    level = record["equal_harm"]["kl_off_target"]["value"]
    if level:
        axes.axvline(level, color=INK, lw=0.9, ls=(0, (1.2, 1.6)), zorder=1, label="compared here")
    axes.legend(frameon=False, fontsize=8.5, labelcolor=INK, loc="upper left", handlelength=2.6)


def _draw_strengths(panels: Sequence[Axes], record: Record) -> None:
    """Target rate, off-target KL and perplexity of the edit, one above the other, over the usable range."""
    rows = [row for row in record["rows"] if row["method"] == record["rows"][0]["method"]]
    strengths, chosen = [row["strength"] for row in rows], record["chosen"]
    for axes, (name, title) in zip(panels, STRENGTH_PANELS.items(), strict=True):
        is_last = axes is panels[-1]
        _prepare(axes, title, f"strength, {chosen['unit']}" if is_last else "")
        axes.axvspan(0, chosen["usable_up_to"], color=USABLE, zorder=0, lw=0)
        axes.axvline(chosen["strength"], color=INK, lw=0.9, ls=(0, (1.2, 1.6)), zorder=1)
        points = [(at, row) for at, row in zip(strengths, rows, strict=True) if row[name] is not None]
        at = [where for where, _ in points]
        axes.plot(at, [row[name] for _, row in points], "o-", color=COLOURS[0], ms=3.6, lw=1.8, zorder=3)
        if all(row["intervals"][name][0] is not None for _, row in points):
            low, high = zip(*(row["intervals"][name] for _, row in points), strict=True)
            axes.fill_between(at, low, high, color=COLOURS[0], alpha=0.13, lw=0)
        axes.set_xlim(min(0, *strengths), max(0, *strengths) * 1.03)
        axes.tick_params(labelbottom=is_last)
    panels[0].set_ylim(-0.05, 1.05)
    panels[0].yaxis.set_major_formatter(PercentFormatter(1.0))
    panels[1].set_ylim(bottom=0)
    panels[2].axhline(MOST_PERPLEXITY, color=FAINT_INK, lw=0.9, ls=(0, (4, 2)), zorder=1)
    bottom, top = panels[2].get_ylim()
    panels[2].set_ylim(min(bottom, 0.9), max(top, MOST_PERPLEXITY * 1.15))
    note: dict[str, Any] = {"fontsize": 7.5, "color": FAINT_INK, "transform": panels[0].get_xaxis_transform()}
    panels[0].text(0, 0.93, " usable text", ha="left", va="top", **note)
    panels[0].text(chosen["strength"], 0.08, " chosen on other prompts", ha="left", va="bottom", **note)


def _prepare(axes: Axes, title: str, below: str) -> None:
    axes.set_title(title, fontsize=9.5, color=INK, loc="left")
    axes.set_xlabel(below, fontsize=8.5, color=FAINT_INK)
    axes.tick_params(labelsize=8, colors=FAINT_INK)
    axes.grid(axis="y", color=GUIDE, lw=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(GUIDE)


def _between(values: Sequence[float]) -> np.ndarray:
    """With points between, since what is linear in strength is bent on a scale of square roots."""
    at = np.arange((len(values) - 1) * STEPS + 1) / STEPS
    return np.interp(at, np.arange(len(values)), values)


def _signed_root(x: np.ndarray) -> np.ndarray:
    return np.sign(x) * np.sqrt(np.abs(x))


def _signed_square(x: np.ndarray) -> np.ndarray:
    return np.sign(x) * np.square(x)
