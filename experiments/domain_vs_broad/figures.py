"""The figures of the report."""

from matplotlib import pyplot
from matplotlib.ticker import FixedLocator, FormatStrFormatter, NullLocator

from experiments.domain_vs_broad.arms import FROZEN_DECODER, RANDOM_HOST
from experiments.domain_vs_broad.cell_evaluation import TEXTS
from experiments.domain_vs_broad.comparison import Comparison
from experiments.report.contents import Figure
from experiments.report.picture import svg_of

__all__ = ["curve_figure"]

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Okabe and Ito's, which the colour-blind tell apart."""
N_POINTS = 9
NULL_STYLES = {"random": ":", "pca": "--", FROZEN_DECODER: "-.", RANDOM_HOST: (0, (1, 4))}
LABELS = {"explained_variance": "explained variance", "delta_ce": "delta CE (nats)"}


def curve_figure(comparison: Comparison, metric: str) -> Figure:
    """A metric of every arm against measured L0, judged on either text; nulls in grey."""
    figure, panels = pyplot.subplots(1, len(TEXTS), figsize=(10, 4.2), sharey=True, layout="constrained")
    for panel, text in zip(panels, TEXTS, strict=True):
        for arm, colour in zip(comparison.matrix.profile.arms, COLOURS, strict=False):
            _draw(panel, comparison, text, arm, metric, color=colour)
        for arm in comparison.matrix.profile.nulls:
            _draw(panel, comparison, text, arm, metric, color="#777777", linestyle=NULL_STYLES[arm])
        panel.set(xscale="log", xlabel=f"measured L0 on {text} text", title=f"judged on {text} text")
        panel.xaxis.set_major_locator(FixedLocator([float(2**power) for power in range(-2, 12)]))
        panel.xaxis.set_major_formatter(FormatStrFormatter("%g"))
        panel.xaxis.set_minor_locator(NullLocator())
        panel.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel(LABELS[metric])
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside right center", frameon=False)
    return Figure(
        f"{metric}_{comparison.host}",
        f"{LABELS[metric]} against L0, host {comparison.host} adaptation",
        f"{LABELS[metric].capitalize()} of every arm against the L0 that was measured on the judged text, host "
        f"{comparison.host} adaptation. Bands are 95 % intervals over documents and seeds; grey lines are nulls.",
        svg_of(figure),
    )


def _draw(panel, comparison: Comparison, text: str, arm: str, metric: str, **style) -> None:  # type: ignore[no-untyped-def]
    arms = comparison.arms[text]
    low, high = arms.l0_range(arm)
    l0s = [low * (high / low) ** (step / (N_POINTS - 1)) for step in range(N_POINTS)]
    points = [arms.at(arm, metric, l0) for l0 in l0s]
    panel.plot(l0s, [point.value for point in points], label=arm, **style)
    band = [(l0, p.low, p.high) for l0, p in zip(l0s, points, strict=True) if p.low is not None]
    panel.fill_between(*zip(*band, strict=True), color=style["color"], alpha=0.18, linewidth=0)
