"""Where a command puts a circuit that it changed."""

from pathlib import Path
from typing import Any

from sae.command_line import default_output, output_directory

__all__ = ["save_changed"]


def save_changed(circuit: Any, source: Path, command: str, *, out: Path | None, force: bool) -> Path:
    """Save to `out`, or with `force` and no `out` in the place of `source`, or to a new directory under `runs`.

    Args:
        circuit: To be saved.
        source: Where it was read from.
        command: Names the new directory.
        out: Where the user wants it.
        force: Whether what is there may be replaced.

    Returns:
        The circuit's directory.
    """
    if out is None and force:
        directory = source if source.is_dir() else source.parent
        circuit.save(directory)
        return directory
    target = out or default_output(command)
    with output_directory(target, force=force) as directory:
        circuit.save(directory)
    return target
