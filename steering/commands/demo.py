"""`steering demo`: one case side by side, steered by one feature, and what that does elsewhere."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from sae.command_line import Stopwatch, default_output, json_option, output_options
from sae.commands.report_file import hand_over
from steering.commands.options import dictionary_options, open_host, record

__all__ = ["demo"]

PAGE = "demo.html"


@click.command(epilog="Example:  steering demo --target tuberculosis --out runs/demo")
@click.option("--target", default=None, help="The wanted answer, a word of one token [default: drawn].")
@click.option("--feature", default=None, metavar="SITE/FEATURE", help="What to move [default: by answer score].")
@click.option("--prompt", default=None, help="The case, up to where the answer is due [default: drawn].")
@click.option(
    "--follow-up", default=None, help="Text put after an answer, to be continued too [default: the model's, if any]."
)
@click.option(
    "--prompts",
    type=click.Path(path_type=Path),
    default=None,
    help="Other cases, one a line, that choose and report [default: of the corpus that units are measured by].",
)
@click.option("--n-prompts", type=click.IntRange(min=4), default=48, help="Other cases; half of them choose.")
@click.option("--n-texts", type=click.IntRange(min=2), default=24, help="Unrelated texts of each domain.")
@click.option("--max-new-tokens", type=click.IntRange(min=2), default=16, help="Of a continuation.")
@dictionary_options
@output_options
@json_option
def demo(out: Path | None, force: bool, as_json: bool, **options: Any) -> None:
    """Show what one feature does: a case left alone beside the same case steered, and the side effects.

    What is not given is chosen: the case and the target are drawn, the feature and its strength are those that work on
    other cases, and rates are of yet other ones. --out gets demo.html, which needs no network, and demo.json.
    """
    from sae.prompt_files import read_prompts
    from steering.demo.demonstrating import demonstrate
    from steering.demo.page import write_page
    from steering.demo.terminal_view import render_demonstration

    target, watch = out or default_output("demo"), Stopwatch()
    if target.exists() and not force:
        raise ValueError(f"output {str(target)!r} exists already; give another --out or add --force")
    with watch.stage("load"):
        steered = open_host(options)
        texts = None if options["prompts"] is None else read_prompts(options["prompts"])
    with watch.stage("demonstrate"):
        shown = demonstrate(steered, _settings(options), texts=texts)
    carried = record("demo", options, steered, watch.seconds)
    fields = {**carried, "out": str(target), "rows": shown.rows(), **shown.to_json()}
    hand_over(
        fields,
        target,
        lambda: render_demonstration(shown),
        force=force,
        as_json=as_json,
        write=lambda directory: write_page(shown, carried, _command(options), directory / PAGE),
        file_name="demo.json",
    )


def _settings(options: Mapping[str, Any]) -> Any:
    from steering.demo.settings import DemoSettings
    from steering.directions import Feature

    names = ("target", "prompt", "follow_up", "n_prompts", "n_texts", "max_new_tokens", "seed")
    feature = None if options["feature"] is None else Feature.parse(options["feature"])
    return DemoSettings(feature=feature, **{name: options[name] for name in names})


def _command(options: Mapping[str, Any]) -> list[str]:
    """The words that ask for the same again: every option that was not left at its default."""
    defaults = {parameter.name: parameter.default for parameter in demo.params}
    words = ["steering", "demo"]
    for name, value in options.items():
        if value is not None and (value != defaults.get(name) or name == "seed"):
            words += [f"--{name.replace('_', '-')}", str(value)]
    return words
