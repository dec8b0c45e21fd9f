"""`steering find`: features that cause an answer, not only fire on what it is about."""

from pathlib import Path
from typing import Any

import click

from sae.command_line import Stopwatch, emit_json, json_option, model_options
from steering.commands.options import record

__all__ = ["find"]

EXAMPLE = "steering find --concept tuberculosis --sites resid_post.3"


@click.command(epilog=f"Example:  {EXAMPLE}")
@click.option("--concept", default=None, metavar="TEXT", help="What features are to fire on, as text names it.")
@click.option("--synonym", "synonyms", multiple=True, help="Another name of the concept; several times for several.")
@click.option(
    "--contrast",
    type=click.Path(path_type=Path),
    default=None,
    help="JSON lines with clean_prefix, patch_prefix, clean_answer, patch_answer, as for `circuits discover --pairs`.",
)
@click.option("--label", default=None, help="Features with this label, with or without its family.")
@click.option("--target", default=None, metavar="TEXT", help="The wanted answer [default: what was looked for].")
@click.option("--corpus", default=None, help="Text to look at [default: what the SAEs were trained on].")
@click.option("--corpus-tokens", type=click.IntRange(min=1), default=20_000, help="Tokens of it to look at.")
@click.option(
    "--prompts",
    type=click.Path(path_type=Path),
    default=None,
    help="File of prompts that end where an answer is due; a third of them ranks [default: those of the corpus].",
)
@click.option("--candidates", type=click.IntRange(min=1), default=16, help="Most of each site and way of finding.")
@click.option("--top", type=click.IntRange(min=1), default=5, help="How many of the best to verify.")
@model_options
@json_option
def find(as_json: bool, **options: Any) -> None:
    """Rank features by whether they make the model give an answer, and verify the best on held-out prompts.

    Exactly one of --concept, --contrast and --label says what is looked for. Edits are at a prompt's last token.
    """
    asked = [options[name] for name in ("concept", "contrast", "label") if options[name] is not None]
    if len(asked) != 1:
        raise click.UsageError("give exactly one of --concept, --contrast and --label")
    if options["synonyms"] and options["concept"] is None:
        raise click.UsageError("--synonym belongs to --concept")
    from steering.finding.asking import search

    watch = Stopwatch()
    steered, found = search(options, watch)
    if as_json:
        emit_json({**record("find", options, steered, watch.seconds), **found.to_json()})
        return
    from rich.console import Console

    from steering.finding.terminal_table import card_lines, render_found

    Console().print(render_found(found))
    for each in found.features:
        for line in card_lines(each):
            click.echo(line)
