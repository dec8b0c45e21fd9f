"""`circuits export`: a circuit for another program, or as a picture or page."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from sae.command_line import SCHEMA_VERSION, emit_json, json_option, output_directory

__all__ = ["export"]

FILE_FORMATS = ("neuronpedia", "graphml", "dot", "png", "svg", "html")
DIRECTORY_FORMATS = ("viewer", "csv", "parquet")


@click.command(epilog="Example:  circuits export runs/first --format graphml --out circuit.graphml")
@click.argument("circuit", type=click.Path(path_type=Path))
@click.option(
    "--format", "file_format", type=click.Choice(DIRECTORY_FORMATS + FILE_FORMATS), required=True, help="File format."
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    required=True,
    help=f"File to write; of {', '.join(DIRECTORY_FORMATS)} the directory.",
)
@click.option("--force", is_flag=True, help="Overwrite existing output.")
@click.option("--contexts", default=None, help="viewer: SPEC of a corpus to show features in.")
@click.option("--tokens", type=click.IntRange(min=1), default=100_000, help="viewer: tokens of it, for each site.")
@click.option("--scan", default=None, help="neuronpedia: its name of the model [default: that of the circuit's].")
@json_option
def export(
    circuit: Path,
    file_format: str,
    out: Path,
    force: bool,
    contexts: str | None,
    tokens: int,
    scan: str | None,
    as_json: bool,
) -> None:
    """Write a circuit for another program or as a picture, page or tables.

    viewer is a directory for circuit-tracer's local viewer, neuronpedia a file to upload, csv and parquet are a
    directory with a table of nodes and one of edges.
    """
    _check_belongs("--contexts", contexts, file_format, "viewer")
    _check_belongs("--scan", scan, file_format, "neuronpedia")
    if out.exists() and not force:
        raise ValueError(f"output {str(out)!r} exists already; give another --out or add --force")
    from circuits.graph.circuit import Circuit

    loaded = Circuit.load(circuit)
    if file_format in DIRECTORY_FORMATS:
        with output_directory(out, force=force) as directory:
            _directory_writer(file_format, contexts, tokens)(loaded, directory)
    else:
        _file_writer(file_format, scan)(loaded, out)
    if as_json:
        emit_json(
            {"schema_version": SCHEMA_VERSION, "command": "circuits export", "format": file_format, "out": str(out)}
        )
    else:
        click.echo(f"Written to {out}")


def _check_belongs(option: str, value: str | None, file_format: str, expected: str) -> None:
    if value is not None and file_format != expected:
        raise click.UsageError(f"{option} belongs to --format {expected}, got --format {file_format}")


def _directory_writer(file_format: str, contexts: str | None, tokens: int) -> Callable[[Any, Path], None]:
    if file_format == "csv":
        from circuits.export.tables import write_csv

        return write_csv
    if file_format == "parquet":
        from circuits.export.tables import write_parquet

        return write_parquet
    from circuits.export.viewer import write_viewer

    if contexts is None:
        return write_viewer
    from circuits.export.contexts import feature_reports

    return lambda circuit, path: write_viewer(
        circuit, path, reports=feature_reports(circuit, contexts, n_tokens=tokens)
    )


def _file_writer(file_format: str, scan: str | None) -> Callable[[Any, Path], None]:
    if file_format == "neuronpedia":
        from circuits.export.viewer import write_neuronpedia

        return lambda circuit, path: write_neuronpedia(circuit, path, scan=scan)
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
