"""`circuits minimise`: the smallest circuit that keeps as much as wanted."""

from pathlib import Path

import click

from circuits.commands.printing import print_circuit
from circuits.commands.saving import changed_circuit_directory
from sae.command_line import FiniteFloat, emit_json, json_option, output_options

__all__ = ["minimise"]


@click.command(epilog="Example:  circuits minimise runs/first --faithfulness 0.9")
@click.argument("circuit", type=click.Path(path_type=Path))
@click.option("--faithfulness", type=FiniteFloat(0.0, 1.0), default=0.8, help="Share of the behaviour to keep.")
@click.option("--seed", type=click.IntRange(min=0), default=0, help="Seed of the interval and of the null.")
@click.option("--device", default=None, help="Where the model runs [default: where the circuit was found].")
@output_options
@json_option
def minimise(
    circuit: Path, faithfulness: float, seed: int, device: str | None, out: Path | None, force: bool, as_json: bool
) -> None:
    """Find the smallest set of features whose faithfulness is surely above a share.

    The smaller circuit is saved: to --out, or with --force alone in the place of the other.
    """
    with changed_circuit_directory(circuit, "minimise", out=out, force=force) as (directory, final):
        from circuits.verification.minimising import minimise as minimise_circuit

        found = minimise_circuit(circuit, wanted=faithfulness, seed=seed, device=device)
        found.save(directory)
    if as_json:
        emit_json({**found.to_json(), "out": str(final)})
        return
    print_circuit(found)
    record = found.provenance["minimised"]
    click.echo(
        f"\n{record['n_nodes']} features, {record['n_by_rank']} by rank alone; "
        f"bounded at {faithfulness:g}: the {record['bound']}"
    )
    click.echo(f"Written to {final}")
