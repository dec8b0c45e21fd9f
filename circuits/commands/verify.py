"""`circuits verify`: estimated effects beside measured ones."""

from pathlib import Path
from typing import Any

import click

from circuits.commands.circuit_directory import CIRCUIT_FILES, changed_circuit_directory, write_circuit_directory
from sae.command_line import emit_json, json_option, output_options

__all__ = ["verify"]


@click.command(epilog="Example:  circuits verify runs/first --top 20")
@click.argument("circuit", type=click.Path(path_type=Path))
@click.option("--top", type=click.IntRange(min=1), default=50, help="How many nodes, and how many edges, to measure.")
@click.option("--model", default=None, help="Bundled name, directory or Hugging Face id [default: the circuit's].")
@click.option("--device", default=None, help="auto, cpu, cuda, cuda:1, mps [default: the circuit's].")
@click.option("--seed", type=click.IntRange(min=0), default=0, help="Seed of the intervals and of the nulls.")
@output_options
@json_option
def verify(
    circuit: Path,
    top: int,
    model: str | None,
    device: str | None,
    seed: int,
    out: Path | None,
    force: bool,
    as_json: bool,
) -> None:
    """Measure the strongest nodes and edges, each by itself, and compare with their estimates.

    The circuit is saved with its measured effects: to --out, or with --force alone in its own place.
    """
    with changed_circuit_directory(circuit, "verify", out=out, force=force) as (directory, final):
        from circuits.verification.verifying import verify as verify_circuit

        found = verify_circuit(circuit, top=top, seed=seed, model=model, device=device)
        write_circuit_directory(found.circuit, directory)
    if as_json:
        emit_json({**found.to_json(), "circuit": str(circuit), "out": str(final)})
        return
    _print(found)
    click.echo(f"\nWritten to {final}: {CIRCUIT_FILES}")


def _print(found: Any) -> None:
    from rich.console import Console
    from rich.table import Table

    from circuits.drawing.summary import signed

    table = Table(box=None, pad_edge=False)
    for name in ("node or edge", "predicted", "measured"):
        table.add_column(name, justify="left" if name == "node or edge" else "right", no_wrap=True)
    circuit = found.circuit
    rows = [(node.id, node.indirect_effect, node.exact_effect) for node in circuit.nodes]
    rows += [(f"{edge.source} → {edge.target}", edge.effect, edge.exact_effect) for edge in circuit.edges]
    for name, predicted, measured in rows:
        if measured is not None:
            table.add_row(name, signed(predicted), signed(measured))
    Console().print(table)
    click.echo()
    for name, agreement in (("nodes", found.nodes), ("edges", found.edges)):
        click.echo(f"{name}: {'none in the circuit' if agreement is None else _line(agreement)}")


def _line(agreement: Any) -> str:
    parts = [
        f"{words} {_with_interval(measure)}"
        for words, measure in (
            ("slope", agreement.slope),
            ("rank correlation", agreement.rank_correlation),
            ("equal signs", agreement.sign_agreement),
        )
    ]
    return f"{agreement.n} measured; {'; '.join(parts)}"


def _with_interval(measure: Any) -> str:
    if measure.value is None:
        return "undefined"
    if measure.low is None:
        return f"{measure.value:.2f} (no interval)"
    null = "undefined" if measure.null is None else f"{measure.null:.2f}"
    return f"{measure.value:.2f} [{measure.low:.2f}, {measure.high:.2f}], shuffled {null}"
