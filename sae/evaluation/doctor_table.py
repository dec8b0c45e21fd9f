"""The checks of `sae doctor` as a table for the terminal, readable from 80 columns on."""

from collections.abc import Sequence

from rich.console import Group
from rich.table import Table
from rich.text import Text

from sae.evaluation.doctor import Check

__all__ = ["render_checks"]

OK, OFF = "green", "bold red"


def render_checks(checks: Sequence[Check]) -> Group:
    """A row for each check, a dictionary named once, and a line that says how many are off."""
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), expand=True)
    table.add_column("dictionary", no_wrap=True)
    table.add_column("score", no_wrap=True)
    for heading in ("expected", "measured", "within"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    table.add_column("because", style="dim", overflow="ellipsis", no_wrap=True, ratio=1)
    previous = None
    for check in checks:
        table.add_row(*_row(check, is_first=check.dictionary != previous))
        previous = check.dictionary
    return Group(table, Text(""), _verdict(checks))


def _row(check: Check, *, is_first: bool) -> list[Text]:
    verdict = Text("ok", style=OK) if check.is_ok else Text("off", style=OFF)
    return [
        Text(check.dictionary if is_first else "", style="bold"),
        Text(check.metric),
        Text(_number(check.expected)),
        Text("none" if check.measured is None else _number(check.measured), style="" if check.is_ok else OFF),
        Text(f"{check.tolerance:.1g}", style="dim"),
        verdict,
        Text(check.reason),
    ]


def _verdict(checks: Sequence[Check]) -> Text:
    off = [check for check in checks if not check.is_ok]
    if not off:
        return Text(f"all {len(checks)} scores are as they must be", style=OK)
    names = "; ".join(f"{check.metric} of {check.dictionary}" for check in off)
    return Text(f"{len(off)} of {len(checks)} scores are off: {names}", style=OFF)


def _number(value: float) -> str:
    rounded = round(value, 4) + 0.0  # no minus sign before a zero
    return f"{rounded:.4f}".replace("-", "\N{MINUS SIGN}")
