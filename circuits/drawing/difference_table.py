"""The difference of two circuits as a table for the terminal."""

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from circuits.comparison.circuit_difference import CircuitDifference
from circuits.drawing.summary import signed

__all__ = ["render_difference"]


def render_difference(found: CircuitDifference, *, limit: int = 20) -> Group:
    """What `circuits diff` prints.

    Args:
        found: The difference.
        limit: Most rows of each part: nodes of both, of A alone, of B alone.
    """
    both = [(node.a, node.b, signed(node.contribution_a), signed(node.contribution_b)) for node in found.shared]
    only_a = [(name, "", signed(value), "") for name, value in found.only_a.items()]
    only_b = [("", name, "", signed(value)) for name, value in found.only_b.items()]
    parts: list[RenderableType] = [Text(_summary(found))]
    for title, rows in (("in both", both), ("only in A", only_a), ("only in B", only_b)):
        if rows:
            parts += [Text(f"\n{title}: {len(rows)}", style="bold"), _table(rows, limit)]
    return Group(*parts)


def _summary(found: CircuitDifference) -> str:
    by = "node by node" if found.by == "position" else "feature by feature, contributions summed over positions"
    if found.matched_sites:
        by += f"; SAEs differ at {', '.join(found.matched_sites)}: matched by decoder cosine of at least "
        by += f"{found.min_cosine:g}"
    return f"compared {by}; errors left out\n{_jaccard(found)}; {_correlation(found)}"


def _jaccard(found: CircuitDifference) -> str:
    if found.jaccard is None or found.jaccard_interval is None:
        return "Jaccard not defined, neither circuit has a feature"
    low, high = found.jaccard_interval
    return f"Jaccard {found.jaccard:.2f} [{low:.2f}, {high:.2f}]"


def _correlation(found: CircuitDifference) -> str:
    if found.rank_correlation is None or found.rank_correlation_null is None:
        return "rank correlation not defined (fewer than 3 shared nodes, or all alike)"
    low, high = found.rank_correlation_null
    return f"rank correlation {found.rank_correlation:.2f}; null (shuffled) [{low:.2f}, {high:.2f}]"


def _table(rows: list[tuple[str, str, str, str]], limit: int) -> Table:
    rest = len(rows) - limit
    caption = f"{rest} weaker not shown" if rest > 0 else None
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), caption=caption, caption_justify="left")
    for name in ("A", "B"):
        table.add_column(name, no_wrap=True)
    for name in ("in A", "in B"):
        table.add_column(name, no_wrap=True, justify="right")
    for row in rows[:limit]:
        table.add_row(*map(Text, row))
    return table
