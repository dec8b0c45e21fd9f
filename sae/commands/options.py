"""What several commands of `sae` share. Nothing here imports torch."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from sae.command_line import SCHEMA_VERSION, versions

__all__ = ["CORPUS_HELP", "numbers", "result"]

CORPUS_HELP = (
    "clinic:clinical, clinic:broad, hf:NAME, a .jsonl(.gz), .parquet or .txt path, a directory of such files or some "
    "of them as DIR/a_*.jsonl, or 0.5*A+0.5*B."
)


def numbers(ctx: click.Context, param: click.Parameter, value: str) -> tuple[float, ...]:
    """A comma list of numbers."""
    try:
        return tuple(float(part) for part in value.split(","))
    except ValueError:
        raise click.BadParameter(f"{value!r} is no comma list of numbers", ctx, param) from None


def result(command: str, options: Mapping[str, Any], **fields: Any) -> dict[str, Any]:
    """A JSON result with what every one carries."""
    config = {name: str(value) if isinstance(value, Path) else value for name, value in options.items()}
    return {
        "schema_version": SCHEMA_VERSION,
        "command": f"sae {command}",
        "config": config,
        "seed": options.get("seed"),
        "versions": versions(),
        **fields,
    }
