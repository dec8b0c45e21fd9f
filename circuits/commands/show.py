"""`circuits show`: a circuit in the terminal."""

from pathlib import Path

import click

from circuits.commands.printing import print_circuit
from sae.command_line import emit_json, json_option

__all__ = ["show"]


@click.command(epilog="Example:  circuits show runs/first")
@click.argument("circuit", type=click.Path(path_type=Path))
@click.option("--limit", type=click.IntRange(min=1), default=20, help="Rows of the table.")
@json_option
def show(circuit: Path, limit: int, as_json: bool) -> None:
    """Print a circuit, read from its directory or its circuit.json."""
    from circuits.graph.circuit import Circuit

    loaded = Circuit.load(circuit)
    if as_json:
        emit_json(loaded.to_json())
    else:
        print_circuit(loaded, limit=limit)
