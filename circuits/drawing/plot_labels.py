"""The names in a circuit's picture, placed so that they cover each other and the nodes as little as possible.

Boxes are rows of x, y of the centre, width and height, all in points.
"""

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke

from circuits.drawing.layout import Layout
from circuits.drawing.plot_marks import DotScale, mark_diameter
from circuits.graph.circuit import Node
from sae.token_text import readable_token

__all__ = ["draw_labels", "overlap_areas", "place_labels"]

LONGEST_LABEL = 34
FONT = 8.0
INK, LINE = "#1f2933", "#52606d"
PADDING = 2.0
CLEARANCE = 3.0
LONGEST_GAP_WITHOUT_LINE = 6.0

DIRECTIONS = tuple(2 * math.pi * step / 16 for step in range(16))
DISTANCES = (3.5, 10.0, 22.0, 36.0, 52.0, 72.0, 96.0)
COST_OF_LABEL_OVERLAP = 30.0
COST_OF_NODE_OVERLAP = 12.0
COST_OF_LEAVING = 30.0
COST_PER_POINT = 12.0
COST_OF_SLANT = 90.0


def overlap_areas(
    boxes: Float[np.ndarray, "boxes 4"], others: Float[np.ndarray, "others 4"]
) -> Float[np.ndarray, "boxes others"]:
    """The area that each box has in common with each other."""
    centres, other_centres = boxes[:, None, :2], others[None, :, :2]
    halves, other_halves = boxes[:, None, 2:] / 2, others[None, :, 2:] / 2
    upper = np.minimum(centres + halves, other_centres + other_halves)
    lower = np.maximum(centres - halves, other_centres - other_halves)
    return np.maximum(upper - lower, 0.0).prod(axis=-1)


def place_labels(
    anchors: Float[np.ndarray, "labels 4"],
    sizes: Float[np.ndarray, "labels 2"],
    obstacles: Float[np.ndarray, "nodes 4"],
    bounds: Float[np.ndarray, "4"],
) -> Float[np.ndarray, "labels 4"]:
    """Choose a place for each label, the first labels first.

    A label tries places around its anchor at growing distances and takes the cheapest. Overlap costs by area: with
    obstacles, more with labels placed before, and with what lies beyond `bounds`. Distance costs by length, and a place
    straight above, below or beside the anchor is cheaper than one between.

    Args:
        anchors: The nodes that are labelled.
        sizes: Width and height of each label.
        obstacles: All nodes, the labelled ones included.
        bounds: The box that labels should stay in.

    Returns:
        The box of each label.
    """
    placed = np.zeros((len(anchors), 4))
    for index, (anchor, size) in enumerate(zip(anchors, sizes, strict=True)):
        places, costs = _places(anchor, size)
        roomy = places + np.array([0.0, 0.0, 2 * CLEARANCE, 2 * CLEARANCE])
        costs += COST_OF_NODE_OVERLAP * overlap_areas(roomy, obstacles).sum(axis=1)
        costs += COST_OF_LABEL_OVERLAP * overlap_areas(places, placed[:index]).sum(axis=1)
        costs += COST_OF_LEAVING * (size.prod() - overlap_areas(places, bounds[None])[:, 0])
        placed[index] = places[costs.argmin()]
    return placed


def _places(
    anchor: Float[np.ndarray, "4"], size: Float[np.ndarray, "2"]
) -> tuple[Float[np.ndarray, "places 4"], Float[np.ndarray, " places"]]:
    """Boxes around an anchor, nearest first, and what each costs by its distance and direction."""
    places, costs = [], []
    for distance in DISTANCES:
        reach = (anchor[2:] + size) / 2 + distance
        for direction in DIRECTIONS:
            way = np.array([math.cos(direction), math.sin(direction)])
            touching = (reach / np.maximum(np.abs(way), 1e-9)).min()
            places.append([*(anchor[:2] + touching * way), *size])
            costs.append(COST_PER_POINT * distance + COST_OF_SLANT * abs(math.sin(2 * direction)))
    return np.array(places), np.array(costs)


def draw_labels(axes: Axes, nodes: Sequence[Node], layout: Layout, scale: DotScale, *, n_labels: int) -> None:
    """Name the first `n_labels` of `nodes`: by label where there is one, by feature where not.

    Args:
        axes: Where the nodes have been drawn; its limits must be final.
        nodes: All nodes, strongest first.
        layout: Their places.
        scale: Their sizes.
        n_labels: How many to name.
    """
    if not nodes:
        return
    to_points = 72 / axes.figure.dpi
    centres = axes.transData.transform([layout.points[node.id] for node in nodes]) * to_points
    diameters = np.array([mark_diameter(node, scale) for node in nodes])
    boxes = np.column_stack([centres, diameters, diameters])
    left, bottom, width, height = np.array(axes.get_window_extent().bounds) * to_points
    bounds = np.array([left + width / 2, bottom + height / 2, width, height])
    names = [_name(node) for node in nodes[:n_labels]]
    sizes = np.array([_text_size(axes, name) for name in names]).reshape(-1, 2)
    places = place_labels(boxes[: len(names)], sizes, boxes, bounds)
    for name, anchor, place in zip(names, boxes, places, strict=False):
        ends = axes.transData.inverted().transform(np.array([anchor[:2], place[:2]]) / to_points)
        if _is_ambiguous(anchor, place):
            axes.plot(*ends.T, color=LINE, linewidth=0.7, zorder=2.8)
        halo = [withStroke(linewidth=2.6, foreground="white")]
        x, y = ends[1]
        axes.text(x, y, name, fontsize=FONT, ha="center", va="center", color=INK, zorder=5, parse_math=False,
                  path_effects=halo)  # fmt: skip


def _name(node: Node) -> str:
    if node.label is not None:
        return readable_token(node.label, length=LONGEST_LABEL)
    return "error" if node.feature is None else f"feature {node.feature}"


def _text_size(axes: Axes, text: str) -> tuple[float, float]:
    """Width and height in points."""
    artist = axes.text(0, 0, text, fontsize=FONT, parse_math=False)
    extent = artist.get_window_extent()
    artist.remove()
    to_points = 72 / axes.figure.dpi
    return float(extent.width) * to_points + PADDING, float(extent.height) * to_points + PADDING


def _is_ambiguous(anchor: Float[np.ndarray, "4"], label: Float[np.ndarray, "4"]) -> bool:
    """Whether a label is far from its node or stands at a slant to it, so that it might be taken for a neighbour's."""
    apart = np.abs(anchor[:2] - label[:2])
    gap = (apart - (anchor[2:] + label[2:]) / 2).max()
    return bool(gap > LONGEST_GAP_WITHOUT_LINE or apart.min() > 1.0)
