"""The files of a circuit's directory, written together so that none of them shows an earlier circuit."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sae.command_line import default_output, output_directory

__all__ = ["CIRCUIT_FILES", "changed_circuit_directory", "write_circuit_directory"]

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


@contextmanager
def changed_circuit_directory(
    source: Path | None, command: str, *, out: Path | None, force: bool
) -> Iterator[tuple[Path, Path]]:
    """The directory to save a changed circuit to, and the name that it then has.

    That is `out`; or with `force` and no `out` the place of `source`; or a new directory under `runs`.

    Args:
        source: Where the circuit was read from; None for one that was only now found.
        command: Names the new directory.
        out: Where the user wants it.
        force: Whether what is there may be replaced.

    Raises:
        ValueError: As `output_directory`, before anything is computed.
    """
    if source is not None and out is None and force:
        place = source if source.is_dir() else source.parent
        yield place, place
        return
    target = out or default_output(command)
    with output_directory(target, force=force) as directory:
        yield directory, target
