"""Figures of what was measured of features."""

from typing import Any

import numpy as np
from matplotlib import pyplot
from matplotlib.patches import Patch

from experiments.domain_vs_broad.arms import TRAINED_TITLES
from experiments.domain_vs_broad.figures import COLOURS
from experiments.domain_vs_broad.measures.measured_host import MeasuredHost
from experiments.domain_vs_broad.measures.ratios import error_share
from experiments.domain_vs_broad.measures.residual import RECONSTRUCTIONS
from experiments.domain_vs_broad.measures.rule_tables import f1_values
from experiments.report.contents import Figure
from experiments.report.picture import svg_of

__all__ = ["f1_figure", "residual_figure"]

SPLIT_COLOURS = {"nonlinear": COLOURS[0], "linear": COLOURS[5]}
SHADES = {"sae": 1.0, "pca": 0.45, "random": 0.45}
HATCHES = {"sae": "", "pca": "///", "random": "..."}
LEGEND = {"sae": "", "pca": "principal components of equal EV", "random": "random decoder of nearest EV"}
CONDITIONS = {
    "features": ("features", "f1", COLOURS[0]),
    "random directions": ("random", "f1", COLOURS[4]),
    "shuffled explanations": ("features", "shuffled_f1", "#999999"),
}
"""Which rows of a record, which score, and in which colour."""


def residual_figure(measured: MeasuredHost) -> Figure | None:
    """FVU of every arm, its nonlinear and its linear part on each other, beside reconstructions of equal EV."""
    arms = [arm for arm in (*measured.matrix.profile.arms, *TRAINED_TITLES) if measured.part(arm, "residual")]
    if not arms:
        return None
    figure, panel = pyplot.subplots(figsize=(max(6.0, 1.3 * len(arms)), 4.0), layout="constrained")
    width = 0.8 / len(RECONSTRUCTIONS)
    for place, name in enumerate(RECONSTRUCTIONS):
        for x, arm in enumerate(arms):
            _stack(panel, measured, arm, name, x + (place - 1) * width, width)
    panel.set_xticks(range(len(arms)), [TRAINED_TITLES.get(arm, arm) for arm in arms], rotation=25, ha="right")
    panel.set_ylabel("FVU")
    panel.spines[["top", "right"]].set_visible(False)
    handles = [Patch(color=colour, label=f"{kind} error") for kind, colour in SPLIT_COLOURS.items()]
    handles += [
        Patch(facecolor="white", edgecolor="black", hatch=HATCHES[name], label=LEGEND[name])
        for name in RECONSTRUCTIONS[1:]
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=2, frameon=False)
    return Figure(
        f"residual_{measured.host}",
        f"Nonlinear and linear error of every arm, host {measured.host} adaptation",
        f"FVU of every arm on the domain's text, host {measured.host} adaptation: below what no linear map of the "
        "activation predicts, above it what one does. Whiskers are 95 % intervals of the whole and of the nonlinear "
        "part. Arms have one wanted L0, not one measured L0.",
        svg_of(figure),
    )


def _stack(panel: Any, measured: MeasuredHost, arm: str, name: str, x: float, width: float) -> None:
    bottom = 0.0
    for kind, colour in SPLIT_COLOURS.items():
        part = measured.of(arm, "residual", error_share(name, kind))
        whole = measured.of(arm, "residual", error_share(name, "nonlinear" if kind == "nonlinear" else "all"))
        height = max(0.0, part.value or 0.0)
        panel.bar(
            x, height, width * 0.92, bottom=bottom, color=colour, alpha=SHADES[name], hatch=HATCHES[name], linewidth=0
        )
        bottom += height
        if whole.low is not None:
            panel.plot([x, x], [whole.low, whole.high], color="black", linewidth=0.8)


def f1_figure(measured: MeasuredHost) -> Figure | None:
    """How F1 of explanations is distributed over features, arm by arm, beside two nulls; of words and of concepts."""
    arms = [*measured.matrix.profile.arms, *TRAINED_TITLES]
    scorers = [
        scorer for scorer in ("lexical", "ontology") if any(f1_values(measured, arm, scorer, "f1") for arm in arms)
    ]
    if not scorers:
        return None
    figure, panels = pyplot.subplots(
        1, len(scorers), figsize=(5.2 * len(scorers), 0.62 * len(arms) + 1.4), sharey=True, layout="constrained"
    )
    for panel, scorer in zip(np.atleast_1d(panels), scorers, strict=True):
        _distributions(panel, measured, arms, scorer)
    handles: list[Any] = [Patch(color=colour, label=title) for title, (_, _, colour) in CONDITIONS.items()]
    handles.append(pyplot.Line2D([], [], color="black", linestyle=":", label="always yes"))
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), frameon=False)
    return Figure(
        f"f1_{measured.host}",
        f"F1 of explanations over features, host {measured.host} adaptation",
        f"F1 of explanations by words and by concepts over the features of all seeds, host {measured.host} adaptation: "
        "boxes from the lower to the upper quartile, whiskers over 5 to 95 %, dots are features. Beside them random "
        "directions that are as often active, and the explanations of other features; the dotted line is what calling "
        "every window active gets.",
        svg_of(figure),
    )


def _distributions(panel: Any, measured: MeasuredHost, arms: list[str], scorer: str) -> None:
    height = 0.8 / len(CONDITIONS)
    rng = np.random.default_rng(0)
    always = []
    for y, arm in enumerate(reversed(arms)):
        for place, (kind, metric, colour) in enumerate(CONDITIONS.values()):
            values = f1_values(measured, arm, scorer, metric, kind)
            if not values:
                continue
            at = y + (1 - place) * height
            panel.boxplot(
                [values],
                positions=[at],
                orientation="horizontal",
                widths=height * 0.7,
                whis=(5, 95),
                showfliers=False,
                patch_artist=True,
                boxprops={"facecolor": colour, "alpha": 0.45, "linewidth": 0},
                medianprops={"color": "black", "linewidth": 1.2},
                whiskerprops={"color": colour},
                capprops={"color": colour},
                manage_ticks=False,
            )
            jitter = at + height * 0.3 * (rng.random(len(values)) - 0.5)
            panel.scatter(values, jitter, s=3, color=colour, alpha=0.6, linewidths=0)
        always += f1_values(measured, arm, scorer, "always_yes")
    panel.axvline(float(np.mean(always)), color="black", linestyle=":", linewidth=1)
    panel.set_yticks(range(len(arms)), [TRAINED_TITLES.get(arm, arm) for arm in reversed(arms)])
    panel.set(xlim=(0, 1.02), xlabel="F1 on other documents", title=f"{scorer} explanations")
    panel.spines[["top", "right"]].set_visible(False)
