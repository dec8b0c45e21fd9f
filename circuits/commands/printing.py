"""How commands print a circuit."""

from typing import Any

__all__ = ["print_circuit"]


def print_circuit(circuit: Any, *, limit: int = 20) -> None:
    """Print a circuit as a table on stdout."""
    from rich.console import Console

    from circuits.drawing.table import render_table

    Console().print(render_table(circuit, limit=limit))
