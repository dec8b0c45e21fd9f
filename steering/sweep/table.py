"""A sweep as tables for the terminal."""

from collections.abc import Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from steering.wording import AT

__all__ = ["sweep_table"]

Record = Mapping[str, Any]
Columns = Mapping[str, tuple[str, int]]
"""By title: the number of a row, and its decimals."""

EFFECT = {
    "target rate": ("target_rate", 2),
    "log-odds": ("target_logit", 1),
    "off-target KL": ("kl_off_target", 3),
    "perplexity": ("perplexity_ratio", 2),
}
ELSEWHERE = {
    "delta CE": ("delta_ce", 3),
    "top-1 kept": ("top1_agreement", 2),
    "features moved": ("features_moved", 1),
    "KL of others": ("kl_other_answers", 2),
    "repetition": ("repetition", 2),
}
WITH_INTERVAL = ("target rate", "off-target KL")
LEGEND = (
    "log-odds and KL(steered || plain) in nats; off-target KL, delta CE, kept top-1 and features of later layers moved "
    "by more than their deviation: a token of unrelated text; KL of others: at the answer, without target and plain "
    "answer; perplexity: of continuations under the plain model, against plain ones; an interval has no width where "
    "all prompts agree"
)


def sweep_table(record: Record) -> Group:
    """What `steering sweep` prints.

    Args:
        record: As in `sweep.json`.
    """
    curves: list[RenderableType] = [_curves(record, EFFECT), Text(), _curves(record, ELSEWHERE)]
    return Group(
        _heading(record), Text(), *curves, Text(LEGEND, style="dim"), Text(), _chosen(record), *_compared(record)
    )


def written(value: float | None, digits: int, interval: list[float | None] | None = None) -> str:
    """A number, with its interval if one is given and known.

    >>> written(0.8123, 2, [0.75, 0.9])
    '0.81 [0.75, 0.90]'
    >>> written(None, 2)
    '-'
    """
    if value is None:
        return "-"
    ends = (
        ""
        if interval is None or interval[0] is None
        else " [{}, {}]".format(*(f"{end:z.{digits}f}" for end in interval))
    )
    return f"{value:z.{digits}f}{ends}"


def _heading(record: Record) -> Text:
    edit, n_prompts = record["edit"], record["n_prompts"]
    name = f"{edit['site']}/{edit.get('feature', edit.get('direction'))}"
    texts = ", ".join(f"{of['n_texts']} of {of['corpus']} ({domain})" for domain, of in record["unrelated"].items())
    text = Text(f"“{record['target']}” by {edit['operation']} of {name} {AT.get(edit['positions'])}\n", style="bold")
    text.append(
        f"{n_prompts['reported']} prompts report, {n_prompts['choosing']} others chose the strength; none is answered "
        f"with the target anyway; unrelated texts: {texts}",
        style="not bold",
    )
    return text


def _curves(record: Record, columns: Columns) -> Table:
    """The edit's numbers, a row a strength; a column of which nothing is known is left out."""
    first = record["rows"][0]
    rows = [row for row in record["rows"] if row["method"] == first["method"]]
    shown = {title: at for title, at in columns.items() if any(row[at[0]] is not None for row in rows)}
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for title in (first["unit"], "|dx|/|x|", *shown):
        table.add_column(title, justify="right", no_wrap=True)
    for row in rows:
        cells = [
            written(row[name], digits, row["intervals"][name] if title in WITH_INTERVAL else None)
            for title, (name, digits) in shown.items()
        ]
        style = "bold" if row["strength"] == record["chosen"]["strength"] else ""
        table.add_row(f"{row['strength']:g}", written(row["norm_ratio"], 2), *cells, style=style)
    return table


def _chosen(record: Record) -> Text:
    chosen, level = record["chosen"], record["equal_harm"]["kl_off_target"]
    row = next(row for row in record["rows"] if row["strength"] == chosen["strength"])
    by_domain = "; ".join(f"{domain} {_estimate(found, 3)}" for domain, found in row["kl_by_domain"].items())
    return Text(
        f"chosen: {chosen['strength']:g} {chosen['unit']} (text is usable up to {chosen['usable_up_to']:g}); "
        f"off-target KL {_estimate(level, 3)} nats a token ({by_domain})"
    )


def _compared(record: Record) -> list[RenderableType]:
    """Methods where they do as much harm."""
    methods = record["equal_harm"]["methods"]
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("at equal off-target KL", no_wrap=True, style="bold")
    for title in ("strength", "target rate", "less the first's"):
        table.add_column(title, justify="right", no_wrap=True)
    for each in methods:
        if each["strength"] is not None:
            rates = (each["target_rate"], each["differences"].get("target_rate"))
            table.add_row(each["method"], f"{each['strength']:.3g} {each['unit']}", *map(_estimate, rates))
    unmet = [Text(f"{each['method']}: {each['reason']}", style="dim") for each in methods if each["reason"]]
    return [*([table] if table.row_count else []), *unmet]


def _estimate(measurement: Record | None, digits: int = 2) -> str:
    if measurement is None:
        return ""
    return written(measurement["value"], digits, [measurement["low"], measurement["high"]])
