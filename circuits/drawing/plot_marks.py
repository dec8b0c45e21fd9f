"""The marks of a circuit's picture: a dot for each feature, a diamond for each error, a curve for each edge."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.colors import to_rgba
from matplotlib.path import Path as Curve

from circuits.drawing.layout import Layout
from circuits.drawing.palette import faded, sign_colour
from circuits.graph.circuit import Circuit, Edge, Node

__all__ = ["MOST_EDGES", "DotScale", "draw_edges", "draw_nodes", "drawn_edges", "mark_diameter"]

MOST_EDGES = 1500
"""More cannot be told apart, and take long to draw."""

SMALLEST_DOT, LARGEST_DOT = 4.5, 26.0
RELATIVE_AREA = {"feature": 1.0, "error": 0.55}
RING_GAP = 5.0
THINNEST_EDGE, WIDEST_EDGE = 0.35, 3.4
FAINTEST_EDGE, STRONGEST_EDGE = 0.15, 0.8
BEND = 0.45


@dataclass(frozen=True)
class DotScale:
    """Contribution to diameter in points: the area grows in proportion, down to a smallest dot."""

    largest_contribution: float
    largest_diameter: float

    @classmethod
    def of(cls, circuit: Circuit, slot_points: float) -> "DotScale":
        """The scale on which the circuit's strongest node just fills a slot of `slot_points` points."""
        largest = max((abs(node.contribution) for node in circuit.nodes), default=0.0)
        return cls(largest or 1.0, min(LARGEST_DOT, max(0.8 * slot_points, SMALLEST_DOT)))

    def diameter(self, contribution: float) -> float:
        """Diameter in points."""
        return max(SMALLEST_DOT, self.largest_diameter * (abs(contribution) / self.largest_contribution) ** 0.5)


def draw_nodes(axes: Axes, nodes: Sequence[Node], layout: Layout, scale: DotScale) -> None:
    """Features are filled dots, the fainter the fewer resamples kept them; errors are hollow diamonds, because they are
    not counted. A ring around either says that its effect was measured."""
    for kind, marker in (("feature", "o"), ("error", "D")):
        chosen = [node for node in nodes if node.kind == kind]
        colours = [sign_colour(node.contribution) for node in chosen]
        fills = [faded(sign_colour(node.contribution), node.selection_frequency) for node in chosen]
        sizes = [scale.diameter(node.contribution) ** 2 * RELATIVE_AREA[kind] for node in chosen]
        _scatter(axes, chosen, layout, sizes, marker=marker, zorder=3,
                 facecolors=fills if kind == "feature" else ["white"] * len(chosen), edgecolors=colours,
                 linewidths=0.8 if kind == "feature" else 1.3)  # fmt: skip
        measured = [node for node in chosen if node.exact_effect is not None]
        rings = [mark_diameter(node, scale) ** 2 for node in measured]
        _scatter(axes, measured, layout, rings, marker=marker, zorder=2.9, facecolors=["white"] * len(measured),
                 edgecolors=[sign_colour(node.contribution) for node in measured], linewidths=0.8)  # fmt: skip


def mark_diameter(node: Node, scale: DotScale) -> float:
    """Diameter in points of a node's whole mark, its ring included."""
    size = scale.diameter(node.contribution) * RELATIVE_AREA[node.kind] ** 0.5
    return size if node.exact_effect is None else size + RING_GAP


def _scatter(axes: Axes, nodes: Sequence[Node], layout: Layout, sizes: Sequence[float], **look: Any) -> None:
    points = [layout.points[node.id] for node in nodes]
    axes.scatter([x for x, _ in points], [y for _, y in points], s=sizes, **look)


def drawn_edges(circuit: Circuit) -> list[Edge]:
    """The strongest edges, weakest first, so that the strong ones are drawn above."""
    return sorted(circuit.edges, key=lambda edge: abs(edge.effect))[-MOST_EDGES:]


def draw_edges(axes: Axes, circuit: Circuit, layout: Layout) -> None:
    """Curves that leave upwards and arrive from below."""
    edges = drawn_edges(circuit)
    largest = max((abs(edge.effect) for edge in edges), default=0.0) or 1.0
    shares = [abs(edge.effect) / largest for edge in edges]
    axes.add_collection(
        PathCollection(
            [_curve(layout.points[edge.source], layout.points[edge.target]) for edge in edges],
            facecolors="none",
            edgecolors=[
                to_rgba(sign_colour(edge.contribution), FAINTEST_EDGE + (STRONGEST_EDGE - FAINTEST_EDGE) * share**0.5)
                for edge, share in zip(edges, shares, strict=True)
            ],
            linewidths=[THINNEST_EDGE + (WIDEST_EDGE - THINNEST_EDGE) * share for share in shares],
            capstyle="round",
            zorder=2,
        ),
        autolim=False,
    )


def _curve(source: tuple[float, float], target: tuple[float, float]) -> Curve:
    (x0, y0), (x1, y1) = source, target
    bend = BEND * (y1 - y0)
    return Curve(
        [(x0, y0), (x0, y0 + bend), (x1, y1 - bend), (x1, y1)],
        [Curve.MOVETO, Curve.CURVE4, Curve.CURVE4, Curve.CURVE4],
    )
