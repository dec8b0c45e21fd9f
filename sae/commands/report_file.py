"""What a command's result goes to: a file, and the terminal."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click

from sae.command_line import emit_json, output_directory

__all__ = ["REPORT", "hand_over", "write_report"]

REPORT = "report.json"


def hand_over(
    fields: Mapping[str, Any],
    target: Path,
    render: Callable[[], Any],
    *,
    force: bool,
    as_json: bool,
    write: Callable[[Path], None] = lambda _: None,
    file_name: str = REPORT,
) -> None:
    """Write a result to `target` and show it: as JSON, or as what `render` makes for the terminal.

    Args:
        fields: The result.
        target: A directory; named on stderr where the terminal shows no JSON.
        render: What rich prints.
        force: Whether `target` may be there already.
        as_json: As `--json`.
        write: Is called with the directory for other files that belong to the result.
        file_name: Of the result.

    Raises:
        ValueError: A number is not finite, or `target` is there.
    """
    with output_directory(target, force=force) as directory:
        write_report(fields, directory, file_name)
        write(directory)
    if as_json:
        emit_json(fields)
        return
    from rich.console import Console

    Console().print(render())
    click.echo(f"{target}", err=True)


def write_report(fields: Mapping[str, Any], directory: Path, file_name: str = REPORT) -> None:
    """Write a result to a file of a directory; a number that is not finite is an error."""
    text = json.dumps(fields, indent=1, allow_nan=False, ensure_ascii=False)
    (directory / file_name).write_text(text + "\n", encoding="utf-8")
