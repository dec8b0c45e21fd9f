"""`steering generate`: prompts continued under edits, each sequence of a batch under its own."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from sae.command_line import Stopwatch, emit_json, json_option
from steering.commands.options import (
    edit_options,
    named_spans,
    open_host,
    optional_numbers,
    read_spec,
    record,
    sampling_of,
    steering_options,
)

__all__ = ["EXAMPLE", "generate"]

EXAMPLE = (
    'steering generate --prompt "We see an old man with night sweats. The most likely diagnosis is" '
    "--edit resid_post.3/735:add=1max_act@generated --strengths 0,0.5,1"
)


@click.command(epilog=f"Example:  {EXAMPLE}")
@click.option("--prompt", "prompts", multiple=True, required=True, help="What to continue; several times for several.")
@edit_options
@click.option("--strengths", callback=optional_numbers, help="Comma list: sweep the one edit.")
@click.option("--plain", is_flag=True, help="Continue each prompt without edits too, in the same batch.")
@click.option("--span", "spans", multiple=True, callback=named_spans, metavar="NAME=TEXT", help="Name a prompt's part.")
@click.option("--chat", is_flag=True, help="Wrap prompts in the model's chat template.")
@click.option("--save-preset", type=click.Path(path_type=Path), default=None, help="Write the edits to a file.")
@click.option("--force", is_flag=True, help="Overwrite an existing preset.")
@steering_options
@json_option
def generate(
    prompts: tuple[str, ...],
    edits: tuple[str, ...],
    positions: str,
    preset: Path | None,
    strengths: Sequence[float] | None,
    plain: bool,
    save_preset: Path | None,
    force: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Continue prompts while features are moved; a sweep of strengths is one batch.

    Every result says where edits acted, their strength in all four units, and how long the change was beside the
    stream, |change| / |x|, as measured.
    """
    if not edits and preset is None:
        raise click.UsageError("give --edit or --preset")
    watch = Stopwatch()
    with watch.stage("load"):
        steered = open_host(options)
        spec = read_spec(steered, edits, positions, preset)
        variants = _variants(spec, strengths, with_plain=plain)
        read = _read_prompts(steered, prompts, options)
    with watch.stage("measure"):
        steered.dictionaries.prepare(variants)
    if save_preset is not None:
        _save(save_preset, steered, spec, force)
    is_streamed = not as_json and len(read) * len(variants) == 1 and sys.stdout.isatty()
    with watch.stage("generate"):
        rows = steered.generate(
            [prompt for prompt in read for _ in variants],
            list(variants) * len(read),
            streamer=_streamer(steered, prompts[0]) if is_streamed else None,
            **sampling_of(options),
        )
    if as_json:
        asked = {"prompts": prompts, "edits": edits, "positions": positions, "preset": preset, "strengths": strengths}
        result = record("generate", {**asked, "plain": plain, **options}, steered, watch.seconds)
        emit_json({**result, "rows": [row.to_json() for row in rows]})
        return
    _print(steered, rows, is_streamed=is_streamed)


def _variants(spec: Any, strengths: Sequence[float] | None, *, with_plain: bool) -> list[Any]:
    """The specs that each prompt is continued under."""
    swept = [spec] if strengths is None else list(spec.sweep(strengths))
    return [type(spec)(), *swept] if with_plain else swept


def _read_prompts(steered: Any, prompts: Sequence[str], options: Mapping[str, Any]) -> list[Any]:
    from steering.positions import read_prompt

    return [read_prompt(steered.host, text, spans=options["spans"], chat=options["chat"]) for text in prompts]


def _streamer(steered: Any, prompt: str) -> Any:
    from steering.streaming import TerminalStreamer
    from steering.wording import readable_text

    click.secho(readable_text(prompt), dim=True, nl=False)
    return TerminalStreamer(steered.host.tokenizer, lambda text: click.echo(text, nl=False))


def _print(steered: Any, rows: Sequence[Any], *, is_streamed: bool) -> None:
    from steering.wording import described_sources, lines_of, readable_text

    for row in rows:
        if not is_streamed:
            click.echo(click.style(readable_text(row.prompt.text), dim=True) + readable_text(row.text))
        for line in lines_of(row.steered, steered.dictionaries):
            click.echo(f"    {line}")
    for line in described_sources(steered.dictionaries):
        click.echo(line, err=True)


def _save(path: Path, steered: Any, spec: Any, force: bool) -> None:
    from steering.presets import save_preset

    save_preset(path, steered, spec, force=force)
    click.echo(f"{path}", err=True)
