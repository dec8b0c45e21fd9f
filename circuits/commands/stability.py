"""`circuits stability`: how often each node of a circuit is kept when what should not matter is varied."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from circuits.commands.circuit_directory import CIRCUIT_FILES, changed_circuit_directory, write_circuit_directory
from circuits.commands.discover import discover
from circuits.commands.printing import print_circuit
from sae.command_line import emit_json, json_option, output_options

__all__ = ["stability"]

OF_DISCOVERY_ALONE = ("out", "force", "as_json", "resume", "dry_run")
OF_BOTH = ("model", "device", "seed")
"""Options of a discovery that a circuit may be given with."""


@click.command(epilog="Example:  circuits stability runs/first --vary ig_steps,dtype --force")
@click.argument("circuit", type=click.Path(path_type=Path), required=False)
@click.option("--vary", default="all", help="all, or of bootstrap, ig_steps, dtype, seed, template, as a comma list.")
@click.option("--draws", type=click.IntRange(min=2), default=1000, help="Bootstrap resamples.")
@output_options
@json_option
@click.pass_context
def stability(
    context: click.Context,
    circuit: Path | None,
    vary: str,
    draws: int,
    out: Path | None,
    force: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Choose a circuit's nodes again under resampling, other paths, precision, seeds or wording, and count how often
    each is kept.

    Takes a CIRCUIT, or with --prompt or --pairs and the other options of `circuits discover` finds one first. The
    circuit is saved with its frequencies, picture, page and stability.json: to --out, or with CIRCUIT and --force alone
    in its own place. After an interruption the same command goes on with the effects that it had scored.
    """
    given = [name for name in options if context.get_parameter_source(name) is not ParameterSource.DEFAULT]
    _check_usage(circuit, given)
    with changed_circuit_directory(circuit, "stability", out=out, force=force) as (directory, final):
        stages = final.resolve().with_name(f"{final.resolve().name}.stages")
        if circuit is None:
            found = _discovered(options, vary=vary, draws=draws, stages=stages)
        else:
            from circuits.variation.stability import stability as measure

            place = {name: options[name] for name in ("model", "device") if name in given}
            found = measure(circuit, vary=vary, draws=draws, seed=options["seed"], stages=stages, **place)
        record = {**found.to_json(), "out": str(final)}
        _save(found.circuit, record, directory)
    shutil.rmtree(stages, ignore_errors=True)
    if as_json:
        emit_json(record)
        return
    _print(found.circuit, record)
    click.echo(f"\nWritten to {final}: stability.json, {CIRCUIT_FILES}")


stability.params += [option for option in discover.params if option.name not in OF_DISCOVERY_ALONE]


def _check_usage(circuit: Path | None, given: list[str]) -> None:
    asked = [f"--{name}" for name in ("prompt", "pairs") if name in given]
    if (circuit is not None) + len(asked) != 1:
        raise click.UsageError("give one of CIRCUIT, --prompt and --pairs")
    foreign = [f"--{name.replace('_', '-')}" for name in given if name not in OF_BOTH]
    if circuit is not None and foreign:
        raise click.UsageError(f"{', '.join(foreign)}: CIRCUIT was found already; leave them out, or give --prompt")


def _discovered(options: Mapping[str, Any], *, vary: str, draws: int, stages: Path) -> Any:
    """The stability of a circuit that is found first, on one loaded model."""
    from circuits.discovery import discover as discover_circuit
    from circuits.variation.stability import stability as measure
    from circuits.workbench import open_workbench

    names = ("saes", "sites", "basis", "device", "dtype")
    bench = open_workbench(options["model"], **{name: options[name] for name in names})
    circuit = discover_circuit(**options, workbench=bench, stages=stages)
    return measure(circuit, vary=vary, draws=draws, seed=options["seed"], workbench=bench, stages=stages)


def _save(circuit: Any, record: Mapping[str, Any], directory: Path) -> None:
    from sae.written_whole import written_whole

    write_circuit_directory(circuit, directory)
    with written_whole(directory / "stability.json") as part:
        part.write_text(json.dumps(record, indent=1, allow_nan=False), encoding="utf-8")


def _print(circuit: Any, record: Mapping[str, Any]) -> None:
    from rich.console import Console

    from circuits.drawing.stability_table import stability_table

    print_circuit(circuit)
    Console().print(stability_table(record))
