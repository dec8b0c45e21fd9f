"""How stable a circuit's nodes are, as tables for the terminal."""

from collections.abc import Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

__all__ = ["stability_table"]

Record = Mapping[str, Any]

OFTEN = 0.5
MOST_OUTSIDE = 10


def stability_table(record: Record) -> Group:
    """What `circuits stability` prints below the circuit.

    Args:
        record: As in `stability.json`.
    """
    parts: list[RenderableType] = [_heading(record), _variations(record)]
    outside = [node for node in record["nodes"] if not node["in_circuit"] and node["selection_frequency"] >= OFTEN]
    if outside:
        parts += [Text("\nNot in the circuit, but kept more often than not", style="bold"), _outside(outside)]
    return Group(*parts)


def _heading(record: Record) -> Text:
    own = [node for node in record["nodes"] if node["in_circuit"]]
    always = sum(node["selection_frequency"] >= 1 - 1e-9 for node in own)
    mean = sum(node["selection_frequency"] for node in own) / len(own)
    text = Text(f"kept on average {mean:.0%}, always {always} of {len(own)} features; ", style="bold")
    text.append(f"null (random nodes) {record['random_frequency']:.1%}\n")
    if record["reproduced"] < 1:
        text.append(f"ranked again with nothing varied: Jaccard {record['reproduced']:.2f}\n")
    text.append(
        "in brackets the middle 95 % of runs, or their range where they are fewer than 40\n", style="not bold dim"
    )
    return text


def _variations(record: Record) -> Group:
    """A line for each measure of each variation, and below them those that do not apply."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in ("varied", "runs", "kept", "overlap", "with the circuit", "between runs", "null"):
        table.add_column(column)
    reasons = []
    for name, found in record["variations"].items():
        if found["reason"] is not None:
            reasons.append(Text(f"{name} does not apply: {found['reason']}", style="dim"))
            continue
        table.add_row(name, str(found["n_runs"]), f"{found['features_kept']:.0%}", "Jaccard", *_cells(found["jaccard"]))
        table.add_row("", "", "", "rank-biased", *_cells(found["rank_biased_overlap"]))
    return Group(table, *reasons)


def _cells(overlap: Record) -> list[str]:
    return [_written(overlap["with_circuit"]), _written(overlap["between_runs"]), f"{overlap['null']:.2f}"]


def _written(spread: Record | None) -> str:
    if spread is None:
        return ""
    ends = "" if spread["low"] is None else f" [{spread['low']:.2f}, {spread['high']:.2f}]"
    return f"{spread['mean']:.2f}{ends}"


def _outside(nodes: list[Record]) -> Group:
    table = Table(box=None, pad_edge=False)
    table.add_column("node")
    table.add_column("kept", justify="right")
    for node in nodes[:MOST_OUTSIDE]:
        table.add_row(node["id"], f"{node['selection_frequency']:.0%}")
    rest = len(nodes) - MOST_OUTSIDE
    return Group(table, *([Text(f"{rest} more in stability.json", style="dim")] if rest > 0 else []))
