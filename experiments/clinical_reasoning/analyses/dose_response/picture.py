"""Curves of every measured quantity: what the model says, and what single nodes carry of it."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib import pyplot

from experiments.clinic.knowledge import FINDINGS
from experiments.clinical_reasoning.drawing import NULL_COLOUR
from experiments.domain_vs_broad.figures import COLOURS
from experiments.report.contents import Figure
from experiments.report.picture import svg_of

__all__ = ["dose_figure"]

MOVED = {
    "dense": ("whole activations", COLOURS[6]),
    "latents": ("top latents", COLOURS[1]),
    "latent": ("one latent", COLOURS[4]),
    "errors": ("SAE errors", COLOURS[3]),
    "twins": ("same pushes, matched latents", NULL_COLOUR),
}


def dose_figure(series: Sequence[Mapping[str, Any]], quantities: Sequence[str]) -> Figure:
    """Above m of every series, below what moved nodes add to m of the vignette without the finding."""
    n = len(quantities)
    figure, panels = pyplot.subplots(
        2, n, figsize=(2.3 * n + 1.2, 5.2), sharey="row", squeeze=False, layout="constrained"
    )
    for column, finding in enumerate(quantities):
        own = [each for each in series if each["finding"] == finding]
        measurement = FINDINGS[finding].measurement
        assert measurement is not None
        for each in own:
            panels[0, column].plot(each["doses"], each["metric"], color=COLOURS[0], alpha=0.25, linewidth=0.8)
        _draw_mean(panels[0, column], own, lambda s: s["metric"], color=COLOURS[0], label="m")
        for name, (label, colour) in MOVED.items():
            _draw_mean(panels[1, column], own, lambda s, name=name: s["moved"][name], color=colour, label=label)
        for panel in panels[:, column]:
            panel.axvline(measurement.threshold, color="#555555", linestyle="--", linewidth=0.9)
            panel.axhline(0, color="#dddddd", linewidth=0.8, zorder=0)
            panel.spines[["top", "right"]].set_visible(False)
        quantity = measurement.quantity.partition(" ")[2]
        panels[1, column].set_xlabel(f"{quantity}, {measurement.unit}" if measurement.unit else quantity)
        panels[0, column].set_title(finding.replace("_", " "), fontsize=10)
    panels[0, 0].set_ylabel("m, logits")
    panels[1, 0].set_ylabel("added to m, logits")
    handles, labels = panels[1, 0].get_legend_handles_labels()
    first, name = panels[0, 0].get_legend_handles_labels()
    figure.legend([*first, *handles], [*name, *labels], loc="outside lower center", ncols=6, frameon=False)
    return Figure(
        "dose_response",
        "m and moved nodes against the dose",
        "Above: m at every dose, a thin line for each vignette, their mean thick. Below: what is added to m of the "
        "vignette without the finding when only some nodes at the value's tokens are as at the dose; means. Dashed: "
        "the world's threshold.",
        svg_of(figure),
    )


def _draw_mean(panel: Any, series: Sequence[Mapping[str, Any]], of: Any, **style: Any) -> None:
    at: dict[float, list[float]] = defaultdict(list)
    for each in series:
        for dose, value in zip(each["doses"], of(each), strict=True):
            at[dose].append(value)
    doses = sorted(at)
    panel.plot(doses, [sum(at[dose]) / len(at[dose]) for dose in doses], linewidth=1.8, **style)
