"""Recall against the size of circuits, for the methods and for the bases, beside random nodes."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib import pyplot
from matplotlib.ticker import FixedLocator, FormatStrFormatter, NullLocator

from experiments.clinical_reasoning.analyses.ground_truth.measuring import DEFAULT
from experiments.clinical_reasoning.analyses.ground_truth.ranked_nodes import ALL, LATE, Arm
from experiments.clinical_reasoning.analyses.ground_truth.recorded import Recorded
from experiments.clinical_reasoning.drawing import NULL_COLOUR
from experiments.domain_vs_broad.figures import COLOURS
from experiments.report.contents import Figure
from experiments.report.picture import svg_of
from sae.measurement import Measurement

__all__ = ["basis_figure", "circuit_picture", "method_figure"]

PANELS = (ALL, LATE)
PANEL_TITLES = {ALL: "nodes of all sites", LATE: "nodes of the later half of the sites"}


def method_figure(recorded: Recorded) -> Figure:
    """Methods on the default basis; their null is one, since the same nodes differ."""
    arms = [arm for arm in recorded.arms("cause") if arm[0] == DEFAULT[0]]
    figure, panels = _panels()
    for group, panel in panels.items():
        _shade(panel, recorded, DEFAULT, group)
        for arm, colour in zip(arms, COLOURS, strict=False):
            _draw(panel, recorded, arm, group, "found", label=arm[1].replace("_", " "), color=colour)
    _finish(figure, panels, recorded)
    return Figure(
        "ground_truth_methods",
        f"Recall of the causes by size of the circuits: methods, {DEFAULT[0]}",
        "Share of the causes that the circuits name, with 95 % intervals over templates. The grey band is what as many "
        "random nodes among those that differ name, with its interval. Slow methods are of fewer cases.",
        svg_of(figure),
    )


def basis_figure(recorded: Recorded) -> Figure:
    """Bases by the default method, each with its own null."""
    arms = [arm for arm in recorded.arms("cause") if arm[1] == DEFAULT[1]]
    figure, panels = _panels()
    for group, panel in panels.items():
        for arm, colour in zip(arms, COLOURS, strict=False):
            _draw(panel, recorded, arm, group, "found", label=arm[0], color=colour)
            _draw(panel, recorded, arm, group, "random_differing", color=colour, linestyle=":", band=False)
        panel.plot([], [], color=NULL_COLOUR, linestyle=":", label="random differing\nnodes, by colour")
    _finish(figure, panels, recorded)
    return Figure(
        "ground_truth_bases",
        f"Recall of the causes by size of the circuits: bases, {DEFAULT[1].replace('_', ' ')}",
        "The same for every basis; dotted is what as many random nodes of that basis name, among those that differ: "
        "the more of them differ, the less a random one is worth.",
        svg_of(figure),
    )


def circuit_picture(recorded: Recorded) -> Figure:
    """The circuit of one cause."""
    picture = recorded.record["picture"]
    changed = ", ".join(
        old.replace("_", " ") + (" crosses its threshold" if old == new else f" becomes {new.replace('_', ' ')}")
        for old, new in picture["replaced"].items()
    )
    return Figure(
        "ground_truth_circuit",
        f"One circuit: {changed}, and “{picture['target']}” becomes “{picture['foil']}”",
        f"The {picture['n_features']} features that `circuits discover` keeps, with its own settings, for the first "
        "cause of the first case that has one. Names are shown where they fit; compare those at the changed words with "
        "the change, and those at the last token with the two answers.",
        picture["svg"],
    )


def _panels() -> tuple[Any, Mapping[str, Any]]:
    figure, axes = pyplot.subplots(1, len(PANELS), figsize=(10, 4.2), sharey=True, layout="constrained")
    return figure, dict(zip(PANELS, axes, strict=True))


def _shade(panel: Any, recorded: Recorded, arm: Arm, group: str) -> None:
    """What random nodes name, from nothing up to the upper end of its interval."""
    points = _points(recorded, arm, group, "random_differing")
    panel.plot(recorded.sizes, [point.value for point in points], color=NULL_COLOUR, linestyle=":")
    upper = [point.value if point.high is None else point.high for point in points]
    panel.fill_between(
        recorded.sizes, 0, upper, color=NULL_COLOUR, alpha=0.18, linewidth=0, label="random differing\nnodes"
    )


def _draw(panel: Any, recorded: Recorded, arm: Arm, group: str, name: str, *, band: bool = True, **style: Any) -> None:
    points = _points(recorded, arm, group, name)
    panel.plot(recorded.sizes, [point.value for point in points], marker="o", markersize=4, **style)
    known = [(n, p.low, p.high) for n, p in zip(recorded.sizes, points, strict=True) if p.low is not None]
    if band and known:
        panel.fill_between(*zip(*known, strict=True), color=style["color"], alpha=0.12, linewidth=0)


def _points(recorded: Recorded, arm: Arm, group: str, name: str) -> Sequence[Measurement]:
    columns = recorded.recalls(arm, "cause", group)
    return [columns.mean(name, size) for size in recorded.sizes]


def _finish(figure: Any, panels: Mapping[str, Any], recorded: Recorded) -> None:
    for group, panel in panels.items():
        panel.set(xscale="log", xlabel="nodes of each circuit", title=PANEL_TITLES[group], ylim=(-0.02, 1.03))
        panel.xaxis.set_major_locator(FixedLocator(list(map(float, recorded.sizes))))
        panel.xaxis.set_major_formatter(FormatStrFormatter("%g"))
        panel.xaxis.set_minor_locator(NullLocator())
        panel.axhline(0.8, color="#bbbbbb", linewidth=0.8)
        panel.axvline(recorded.bar_size, color="#bbbbbb", linewidth=0.8)
        panel.spines[["top", "right"]].set_visible(False)
    first = panels[PANELS[0]]
    first.set_ylabel("recall of the causes")
    figure.legend(*first.get_legend_handles_labels(), loc="outside right center", frameon=False)
