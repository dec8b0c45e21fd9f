"""The `circuits` program."""

import click

from circuits.commands.diff import diff
from circuits.commands.discover import EXAMPLE, discover
from circuits.commands.evaluate import evaluate
from circuits.commands.export import export
from circuits.commands.intervene import intervene
from circuits.commands.labels import labels
from circuits.commands.minimise import minimise
from circuits.commands.pairs import pairs
from circuits.commands.show import show
from circuits.commands.stability import stability
from circuits.commands.verify import verify
from circuits.commands.view import view
from sae.command_line import Program

__all__ = ["main"]


@click.group(cls=Program, epilog=f"Example:  {EXAMPLE}")
@click.version_option(package_name="domain-circuits")
def main() -> None:
    """Find, test and look at the features that mediate a behaviour of a language model."""


for command in (discover, evaluate, verify, minimise, intervene, stability, show, view, export, diff, labels, pairs):
    main.add_command(command)
