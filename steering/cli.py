"""The `steering` program."""

import click

from sae.command_line import Program
from steering.commands.chat import chat
from steering.commands.demo import demo
from steering.commands.find import find
from steering.commands.from_circuit import from_circuit
from steering.commands.generate import EXAMPLE, generate
from steering.commands.sweep import sweep

__all__ = ["main"]


@click.group(cls=Program, epilog=f"Example:  {EXAMPLE}")
@click.version_option(package_name="domain-circuits")
def main() -> None:
    """Change what a model does along its features."""


for command in (generate, chat, from_circuit, find, sweep, demo):
    main.add_command(command)
