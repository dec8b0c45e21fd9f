"""`circuits export`: a circuit for another program, or as a picture or page."""

from pathlib import Path
from typing import Any

import click

from sae.command_line import SCHEMA_VERSION, emit_json, json_option

__all__ = ["export"]

FORMATS = ("graphml", "dot", "png", "svg", "html")
LATER_FORMATS = ("viewer", "neuronpedia", "csv", "parquet")


@click.command(epilog="Example:  circuits export runs/first --format graphml --out circuit.graphml")
@click.argument("circuit", type=click.Path(path_type=Path))
@click.option("--format", "file_format", type=click.Choice(FORMATS + LATER_FORMATS), required=True, help="File format.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="File to write.")
@click.option("--force", is_flag=True, help="Overwrite an existing file.")
@json_option
def export(circuit: Path, file_format: str, out: Path, force: bool, as_json: bool) -> None:
    """Write a circuit for another program or as a picture or page."""
    if file_format in LATER_FORMATS:
        raise click.UsageError(
            f"--format {file_format} is not available in this version, choose from {', '.join(FORMATS)}"
        )
    if out.exists() and not force:
        raise ValueError(f"output {str(out)!r} exists already; give another --out or add --force")
    from circuits.graph.circuit import Circuit

    _writer(file_format)(Circuit.load(circuit), out)
    if as_json:
        emit_json(
            {"schema_version": SCHEMA_VERSION, "command": "circuits export", "format": file_format, "out": str(out)}
        )
    else:
        click.echo(f"Written to {out}")


def _writer(file_format: str) -> Any:
    if file_format == "graphml":
        from circuits.export.graphml import write_graphml

        return write_graphml
    if file_format == "dot":
        from circuits.export.dot import write_dot

        return write_dot
    if file_format == "html":
        from circuits.export.page import write_page

        return write_page
    from circuits.drawing.plot import draw_circuit

    return draw_circuit
