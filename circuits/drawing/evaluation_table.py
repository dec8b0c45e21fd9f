"""An evaluation as tables for the terminal."""

from collections.abc import Mapping
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from circuits.drawing.summary import quoted, signed

__all__ = ["evaluation_table", "written"]

Record = Mapping[str, Any]


def evaluation_table(record: Record) -> Group:
    """What `circuits evaluate` prints.

    Args:
        record: As in `evaluation.json`.
    """
    return Group(_heading(record), _curves(record), Text(), _areas(record), Text(), _nulls(record))


def written(estimate: Record) -> str:
    """A number with its interval or range.

    >>> written({"value": 0.8123, "low": 0.75, "high": 0.9})
    '0.81 [0.75, 0.90]'
    """
    if estimate["value"] is None:
        return "withheld"
    ends = "" if estimate["low"] is None else f" [{estimate['low']:z.2f}, {estimate['high']:z.2f}]"
    return f"{estimate['value']:z.2f}{ends}"


def _heading(record: Record) -> Text:
    metric = record["metric"]
    text = Text(f"{quoted(record['target'])} against {quoted(record['foil'])}\n", style="bold")
    text.append(
        f"faithfulness {written(record['faithfulness'])} with {record['n_nodes']} of {record['n_differing']} features "
        f"that differ; completeness {written(record['completeness'])}; all features without errors "
        f"{written(record['share_kept_without_errors'])}\n",
        style="not bold",
    )
    text.append(
        f"metric {signed(metric['clean'])} {metric['unit']} of the model, {signed(metric['baseline'])} at the "
        f"{record['baseline']} baseline; {_spread(record)}\n",
        style="not bold dim",
    )
    if record["faithfulness"]["reason"]:
        text.append(f"withheld: {record['faithfulness']['reason']}\n", style="bold")
    return text


def _spread(record: Record) -> str:
    spread = record["spread"]
    if spread["kind"] is None:
        return f"no interval over {spread['n']} of the {spread['over']}"
    what = "range" if spread["kind"] == "range" else "95 % interval"
    return f"in brackets the {what} over {spread['n']} {spread['over']}"


def _curves(record: Record) -> Table:
    table = _plain("nodes", "metric", "faithfulness", "completeness", "errors kept", "errors as nodes")
    curves = record["curves"]
    others = {name: {point["n_nodes"]: point for point in curves[name]} for name in ("kept", "as_nodes")}
    for point in curves["at_baseline"]:
        size = point["n_nodes"]
        beside = [others[name].get(size) for name in ("kept", "as_nodes")]
        cells = ["" if other is None else written(other["faithfulness"]) for other in beside]
        table.add_row(
            str(size), signed(point["metric"]), written(point["faithfulness"]), written(point["completeness"]), *cells
        )
    return table


def _areas(record: Record) -> Table:
    table = _plain("curve", "CPR (higher is better)", "CMD (0 is best)")
    for errors, found in record["areas"].items():
        table.add_row(f"nodes, errors {errors.replace('_', ' ')}", written(found["cpr"]), written(found["cmd"]))
    if edges := record["edges"]:
        table.add_row(f"{edges['n_edges']} edges among its nodes", written(edges["cpr"]), written(edges["cmd"]))
    return table


def _nulls(record: Record) -> Table:
    table = _plain("null", "faithfulness", "draws", "percentile", "what it is")
    for name, null in record["nulls"].items():
        kept = null["faithfulness"]
        cell = "withheld" if record["faithfulness"]["reason"] else null["reason"]
        cell = cell if kept["mean"] is None else _range(kept)
        percentile = "" if null["percentile"] is None else f"{null['percentile']:.0f}"
        table.add_row(name.replace("_", " "), cell, str(null["n_draws"]), percentile, null["meaning"])
    return table


def _range(kept: Record) -> str:
    """Mean of the draws, from the lowest to the highest."""
    return f"{kept['mean']:z.2f} ({kept['low']:z.2f} to {kept['high']:z.2f})"


def _plain(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in columns:
        table.add_column(column, justify="left")
    return table
