"""Where a command puts a circuit that it changed."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sae.command_line import default_output, output_directory

__all__ = ["changed_circuit_directory"]


@contextmanager
def changed_circuit_directory(
    source: Path, command: str, *, out: Path | None, force: bool
) -> Iterator[tuple[Path, Path]]:
    """The directory to save a changed circuit to, and the name that it then has.

    That is `out`; or with `force` and no `out` the place of `source`; or a new directory under `runs`.

    Args:
        source: Where the circuit was read from.
        command: Names the new directory.
        out: Where the user wants it.
        force: Whether what is there may be replaced.

    Raises:
        ValueError: As `output_directory`, before anything is computed.
    """
    if out is None and force:
        place = source if source.is_dir() else source.parent
        yield place, place
        return
    target = out or default_output(command)
    with output_directory(target, force=force) as directory:
        yield directory, target
