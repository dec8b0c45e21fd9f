"""Where a circuit's nodes are drawn, in the picture and on the page: tokens from left to right, sites upwards by depth.

Lengths are in slots, the distance between two nodes of one cell (a token at a site). Nodes of a cell stand side by
side, strongest first, and in several lines where they are many. In long prompts runs of tokens without nodes share a
column.
"""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from circuits.graph.circuit import Circuit, Node, strongest
from sae.host.sites import Site
from sae.token_text import readable_token

__all__ = ["Column", "Layout", "Row", "lay_out"]

SPACE_BETWEEN_ROWS = 1.9
SPACE_BETWEEN_COLUMNS = 0.3
EMPTY_COLUMN = 0.75
LONGEST_FULL_PROMPT = 40
SHORTEST_RUN_TO_FOLD = 3
WIDEST_SINGLE_LINE = 3
LONGEST_TOKEN = 18

Cells = Mapping[tuple[Site, int], Sequence[Node]]


@dataclass(frozen=True)
class Column:
    """The tokens `first` to `last`, around `x`; more than one only where none of them has a node."""

    first: int
    last: int
    x: float
    width: float

    def text(self, tokens: Sequence[str]) -> str:
        """What stands below the column: the token, or how many there are."""
        if self.first == self.last:
            return readable_token(tokens[self.first], length=LONGEST_TOKEN)
        return f"… {self.last - self.first + 1} tokens"


@dataclass(frozen=True)
class Row:
    """A site, around `y`."""

    site: Site
    y: float
    height: float


@dataclass(frozen=True)
class Layout:
    """Coordinates from (0, 0) at the lower left to (width, height)."""

    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    """In forward order, from below."""
    points: Mapping[str, tuple[float, float]]
    """Centre of every node, by id."""
    width: float
    height: float


def lay_out(circuit: Circuit) -> Layout:
    """Place the nodes of a circuit; the same circuit always gives the same layout."""
    cells: dict[tuple[Site, int], list[Node]] = defaultdict(list)
    for node in strongest(circuit.nodes):
        cells[node.site, node.position].append(node)
    columns = _columns(len(circuit.tokens), cells)
    rows = _rows(circuit.sites, cells)
    column_of = {column.first: column for column in columns}
    row_of = {row.site: row for row in rows}
    points = {}
    for (site, position), nodes in cells.items():
        for node, (dx, dy) in zip(nodes, _offsets(len(nodes)), strict=True):
            points[node.id] = (column_of[position].x + dx, row_of[site].y + dy)
    width, height = math.fsum(column.width for column in columns), math.fsum(row.height for row in rows)
    return Layout(columns, rows, points, width, height)


def _columns(n_tokens: int, cells: Cells) -> tuple[Column, ...]:
    widest: dict[int, int] = defaultdict(int)
    for (_, position), nodes in cells.items():
        widest[position] = max(widest[position], _nodes_per_line(len(nodes)))
    columns, x = [], 0.0
    for first, last in _token_runs(n_tokens, set(widest)):
        width = widest[first] + SPACE_BETWEEN_COLUMNS if first in widest else EMPTY_COLUMN
        columns.append(Column(first, last, x + width / 2, width))
        x += width
    return tuple(columns)


def _token_runs(n_tokens: int, occupied: set[int]) -> list[tuple[int, int]]:
    """First and last token of each column."""
    runs: list[tuple[int, int]] = []
    start = 0
    while start < n_tokens:
        end = start
        while n_tokens > LONGEST_FULL_PROMPT and end < n_tokens and end not in occupied:
            end += 1
        if end - start >= SHORTEST_RUN_TO_FOLD:
            runs.append((start, end - 1))
            start = end
        else:
            runs.append((start, start))
            start += 1
    return runs


def _rows(sites: Sequence[Site], cells: Cells) -> tuple[Row, ...]:
    rows, y = [], 0.0
    for site in sites:
        most = max(_n_lines(len(nodes)) for (place, _), nodes in cells.items() if place == site)
        height = most + SPACE_BETWEEN_ROWS
        rows.append(Row(site, y + height / 2, height))
        y += height
    return tuple(rows)


def _nodes_per_line(n: int) -> int:
    return n if n <= WIDEST_SINGLE_LINE else max(WIDEST_SINGLE_LINE, math.ceil(math.sqrt(1.4 * n)))


def _n_lines(n: int) -> int:
    return math.ceil(n / _nodes_per_line(n))


def _offsets(n: int) -> list[tuple[float, float]]:
    """Positions of `n` nodes around the centre of their cell, line by line from above."""
    per_line, n_lines = _nodes_per_line(n), _n_lines(n)
    offsets = []
    for index in range(n):
        line, place = divmod(index, per_line)
        in_line = min(per_line, n - line * per_line)
        offsets.append((place - (in_line - 1) / 2, (n_lines - 1) / 2 - line))
    return offsets
