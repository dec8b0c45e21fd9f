"""The `experiments` program."""

import click

from experiments.commands.adapt import adapt
from experiments.commands.clinic import clinic
from experiments.commands.report import report
from sae.command_line import SCHEMA_VERSION, Program, emit_json, json_option

__all__ = ["main"]


@click.group(cls=Program, epilog="Example:  experiments clinic sample --kind vignette --n 3")
@click.version_option(package_name="domain-circuits")
def main() -> None:
    """Run the experiments behind the toolkit's claims."""


@main.command("list", epilog="Example:  experiments list --json")
@json_option
def list_experiments(as_json: bool) -> None:
    """List the experiments: name, claim, command."""
    from experiments.registry import EXPERIMENTS

    if as_json:
        rows = [{"name": e.name, "claim": e.claim, "command": e.command} for e in EXPERIMENTS]
        emit_json({"schema_version": SCHEMA_VERSION, "command": "experiments list", "experiments": rows})
        return
    for experiment in EXPERIMENTS:
        click.echo(f"{experiment.name}\n  {experiment.claim}\n  {experiment.command}")


for command in (adapt, report, clinic):
    main.add_command(command)
