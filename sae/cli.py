"""The `sae` program."""

import click

from sae.command_line import Program
from sae.commands.compare import compare
from sae.commands.convert import convert
from sae.commands.doctor import doctor
from sae.commands.evaluate import evaluate
from sae.commands.features import features
from sae.commands.harvest import harvest
from sae.commands.human import human
from sae.commands.info import info
from sae.commands.interpret import interpret
from sae.commands.judge_cache import judge_cache
from sae.commands.localise import localise
from sae.commands.probe import probe
from sae.commands.train import EXAMPLE, train

__all__ = ["main"]


@click.group(cls=Program, epilog=f"Example:  {EXAMPLE}")
@click.version_option(package_name="domain-circuits")
def main() -> None:
    """Train sparse autoencoders on a language model's activations, and look at them."""


for command in (
    harvest,
    train,
    info,
    features,
    evaluate,
    compare,
    interpret,
    judge_cache,
    localise,
    probe,
    human,
    convert,
    doctor,
):
    main.add_command(command)
