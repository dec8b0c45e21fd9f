"""`circuits evaluate`: how much of the behaviour a circuit keeps, beside its nulls."""

import json
from pathlib import Path

import click

from sae.command_line import default_output, emit_json, json_option, output_directory, output_options

__all__ = ["evaluate"]


def _sizes(ctx: click.Context, param: click.Parameter, value: str | None) -> list[int] | None:
    if value is None:
        return None
    parts = [part.strip() for part in value.split(",")]
    if not all(part.isdecimal() and int(part) for part in parts):
        raise click.UsageError(f"--sizes {value!r} is no comma list of whole numbers of at least 1")
    return [int(part) for part in parts]


@click.command(epilog="Example:  circuits evaluate runs/first --nulls random_features,shuffled_decoder")
@click.argument("circuit", type=click.Path(path_type=Path))
@click.option("--nulls", default="all", help="all, none, or a comma list of nulls; an unknown name lists them.")
@click.option(
    "--sizes", default=None, callback=_sizes, help="Sizes of the curves in nodes, a comma list [default: 12]."
)
@click.option("--draws", type=click.IntRange(min=1), default=None, help="Draws of each null [default: 1 to 20].")
@click.option("--edges/--no-edges", default=True, help="Run the edges among its features too.")
@click.option("--model", default=None, help="Bundled name, directory or Hugging Face id [default: the circuit's].")
@click.option("--device", default=None, help="auto, cpu, cuda, cuda:1, mps [default: the circuit's].")
@click.option("--seed", type=click.IntRange(min=0), default=0, help="Seed of the draws and of the bootstrap.")
@output_options
@json_option
def evaluate(
    circuit: Path,
    nulls: str,
    sizes: list[int] | None,
    draws: int | None,
    edges: bool,
    model: str | None,
    device: str | None,
    seed: int,
    out: Path | None,
    force: bool,
    as_json: bool,
) -> None:
    """Measure what a circuit keeps of the behaviour at every size, and what its nulls keep.

    Writes evaluation.json and curves.png.
    """
    target_directory = out or default_output("evaluate")
    with output_directory(target_directory, force=force) as directory:
        from circuits.drawing.evaluation_plot import draw_evaluation
        from circuits.evaluation.curves import SIZES
        from circuits.evaluation.evaluating import evaluate as evaluate_circuit

        evaluation = evaluate_circuit(
            circuit,
            nulls=nulls,
            sizes=sizes or SIZES,
            draws=draws,
            edges=edges,
            seed=seed,
            model=model,
            device=device,
        )
        record = {**evaluation.to_json(), "circuit": str(circuit)}
        (directory / "evaluation.json").write_text(json.dumps(record, indent=1, allow_nan=False), encoding="utf-8")
        draw_evaluation(record, directory / "curves.png")
    if as_json:
        emit_json({**record, "out": str(target_directory)})
        return
    from rich.console import Console

    from circuits.drawing.evaluation_table import evaluation_table

    Console().print(evaluation_table(record))
    click.echo(f"\nWritten to {target_directory}: curves.png (look at it), evaluation.json")
