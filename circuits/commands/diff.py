"""`circuits diff`: two circuits beside each other."""

from pathlib import Path
from typing import Any

import click

from sae.command_line import SCHEMA_VERSION, FiniteFloat, emit_json, json_option

__all__ = ["diff"]


@click.command(epilog="Example:  circuits diff runs/first runs/second")
@click.argument("a", type=click.Path(path_type=Path))
@click.argument("b", type=click.Path(path_type=Path))
@click.option(
    "--min-cosine",
    type=FiniteFloat(0.0, 1.0),
    default=0.7,
    help="Where the SAEs differ: least cosine of decoder rows of features that count as the same.",
)
@click.option("--limit", type=click.IntRange(min=1), default=20, help="Rows of each part of the table.")
@click.option("--seed", type=click.IntRange(min=0), default=0, help="Seed of the null of the rank correlation.")
@json_option
def diff(a: Path, b: Path, min_cosine: float, limit: int, seed: int, as_json: bool) -> None:
    """Show which features only one of two circuits has, and what those of both contribute in each.

    Prompts, SAEs and models may differ. Prompts of equal token length are compared position by position.
    """
    from circuits.comparison.circuit_difference import compare_circuits
    from circuits.graph.circuit import Circuit

    found = compare_circuits(Circuit.load(a), Circuit.load(b), min_cosine=min_cosine, seed=seed)
    if as_json:
        names = {"schema_version": SCHEMA_VERSION, "command": "circuits diff", "a": str(a), "b": str(b), "seed": seed}
        emit_json({**names, **found.to_json()})
        return
    _print(found, limit)


def _print(found: Any, limit: int) -> None:
    from rich.console import Console

    from circuits.drawing.difference_table import render_difference

    Console().print(render_difference(found, limit=limit))
