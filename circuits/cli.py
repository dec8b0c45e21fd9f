"""The `circuits` program: a thin shell over `circuits.discover` and `circuits.Circuit`."""

from pathlib import Path
from typing import Any

import click

from sae.command_line import (
    SCHEMA_VERSION,
    FiniteFloat,
    Program,
    default_output,
    emit_json,
    json_option,
    model_options,
    output_directory,
    output_options,
)

__all__ = ["main"]

METHODS = ("integrated_gradients", "attribution_patching", "exact")
LATER_METHODS = ("relp", "mask")
BASELINES = ("contrast", "resample", "mean", "zero")
BASES = ("features", "neurons", "residual")
FORMATS = ("graphml", "dot", "png", "svg", "html")
LATER_FORMATS = ("viewer", "neuronpedia", "csv", "parquet")

EXAMPLE = (
    'circuits discover --prompt "Patient: young woman. Findings: headache, photophobia and vomiting. Absent: fever. '
    'The most likely diagnosis is"'
)


@click.group(cls=Program, epilog=f"Example:  {EXAMPLE}")
@click.version_option(package_name="domain-circuits")
def main() -> None:
    """Find, test and look at the features that mediate a behaviour of a language model."""


def _refuse_later(option: str) -> Any:
    """An option of a coming version, refused by name."""

    def refuse(ctx: click.Context, param: click.Parameter, value: Any) -> None:
        if value:
            raise click.UsageError(f"{option} is not available in this version")

    return refuse


def _known_method(ctx: click.Context, param: click.Parameter, value: str) -> str:
    if value in LATER_METHODS:
        raise click.UsageError(f"--method {value} is not available in this version, choose from {', '.join(METHODS)}")
    return value


def _contrast_text(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    if value == "auto":
        raise click.UsageError("--contrast auto is not available in this version, give the contrast prompt")
    return value


@main.command(epilog=f"Example:  {EXAMPLE}")
@click.option("--prompt", required=True, help="Text whose next token is to be explained.")
@click.option(
    "--contrast", default=None, callback=_contrast_text, help="Prompt of equal token length that changes the answer."
)
@click.option(
    "--reference",
    type=click.Path(path_type=Path),
    default=None,
    help="File of prompts, one a line, for the resample and mean baselines [default: those bundled with the model].",
)
@click.option("--target", default=None, help="Answer to explain [default: the model's].")
@click.option("--foil", default=None, help="Answer to compare with [default: the contrast's answer, or the runner-up].")
@click.option(
    "--baseline",
    type=click.Choice(BASELINES),
    default=None,
    help="What nodes are set to [default: contrast, or resample without one].",
)
@click.option(
    "--method",
    type=click.Choice(METHODS + LATER_METHODS),
    default=METHODS[0],
    callback=_known_method,
    help="Rule for node effects.",
)
@click.option("--ig-steps", type=click.IntRange(min=1), default=5, help="Points of the integrated-gradients path.")
@click.option("--basis", type=click.Choice(BASES), default="features", help="What the nodes are.")
@click.option("--chat", is_flag=True, help="Apply the tokenizer's chat template.")
@click.option(
    "--faithfulness",
    type=FiniteFloat(0.0, 1.0),
    default=None,
    help="Keep the fewest nodes that reach this share of the behaviour, at most 200 [default: 0.8].",
)
@click.option("--top-k", type=click.IntRange(min=1), default=None, help="Keep this many nodes.")
@click.option(
    "--node-threshold",
    type=FiniteFloat(0.0),
    default=None,
    help="Keep nodes with an effect of at least this many logits.",
)
@click.option(
    "--edge-threshold",
    type=FiniteFloat(0.0),
    default=None,
    help="Keep edges with an effect above this many logits [default: 1 % of the metric's gap].",
)
@click.option("--nodes-only", is_flag=True, help="Skip the edges.")
@click.option("--pairs", hidden=True, callback=_refuse_later("--pairs"), expose_value=False)
@click.option("--cumulative", hidden=True, callback=_refuse_later("--cumulative"), expose_value=False)
@click.option("--dry-run", hidden=True, is_flag=True, callback=_refuse_later("--dry-run"), expose_value=False)
@model_options
@output_options
@json_option
def discover(prompt: str, out: Path | None, force: bool, as_json: bool, **options: Any) -> None:
    """Find the features that carry the model's next-token answer to a prompt.

    Writes circuit.json, circuit.safetensors, circuit.png and circuit.html.
    """
    target_directory = out or default_output("discover")
    with output_directory(target_directory, force=force) as directory:
        from circuits.discovery import discover as discover_circuit
        from circuits.export.page import write_page
        from circuits.plot import draw_circuit

        circuit = discover_circuit(prompt, **options)
        circuit.save(directory)
        draw_circuit(circuit, directory / "circuit.png")
        write_page(circuit, directory / "circuit.html")
    if as_json:
        emit_json({**circuit.to_json(), "out": str(target_directory)})
        return
    _print_table(circuit)
    click.echo(
        f"\nWritten to {target_directory}: circuit.html (open it), circuit.png, circuit.json, circuit.safetensors"
    )


@main.command(epilog="Example:  circuits show runs/first")
@click.argument("circuit", type=click.Path(path_type=Path))
@click.option("--limit", type=click.IntRange(min=1), default=20, help="Rows of the table.")
@json_option
def show(circuit: Path, limit: int, as_json: bool) -> None:
    """Print a circuit, read from its directory or its circuit.json."""
    from circuits.circuit import Circuit

    loaded = Circuit.load(circuit)
    if as_json:
        emit_json(loaded.to_json())
    else:
        _print_table(loaded, limit=limit)


@main.command(epilog="Example:  circuits export runs/first --format graphml --out circuit.graphml")
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
    from circuits.circuit import Circuit

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
    from circuits.plot import draw_circuit

    return draw_circuit


def _print_table(circuit: Any, *, limit: int = 20) -> None:
    from rich.console import Console

    from circuits.table import render_table

    Console().print(render_table(circuit, limit=limit))
