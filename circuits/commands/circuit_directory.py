"""The files of a circuit's directory, written together so that none of them shows an earlier circuit."""

from pathlib import Path
from typing import Any

__all__ = ["CIRCUIT_FILES", "write_circuit_directory"]

CIRCUIT_FILES = "circuit.html (open it), circuit.png, circuit.json, circuit.safetensors"


def write_circuit_directory(circuit: Any, directory: Path) -> None:
    """Write the two files that a circuit is read from, its picture and its page, in place of those that are there.

    Raises:
        ValueError: If the directory cannot be written.
    """
    from circuits.drawing.plot import draw_circuit
    from circuits.export.page import write_page

    circuit.save(directory)
    draw_circuit(circuit, directory / "circuit.png")
    write_page(circuit, directory / "circuit.html")
