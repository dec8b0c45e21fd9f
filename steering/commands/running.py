"""Prompts continued under specs, and what becomes of it on the terminal or as JSON: what several commands end in."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from sae.command_line import Stopwatch, emit_json
from steering.commands.options import record, sampling_of

__all__ = ["continue_prompts", "keep_preset"]


def continue_prompts(
    command: str,
    steered: Any,
    prompts: Sequence[str],
    variants: Sequence[Any],
    *,
    options: Mapping[str, Any],
    watch: Stopwatch,
    as_json: bool,
    **fields: Any,
) -> None:
    """Continue each prompt under every spec, all in one batch, and print the rows.

    Args:
        command: Whose result it is.
        steered: The model.
        prompts: Texts.
        variants: Specs.
        options: Of the command: those that say how tokens are chosen, and all that its result records.
        watch: Of the command.
        as_json: Whether to print one JSON object.
        fields: Further entries of that object.
    """
    read = _read_prompts(steered, prompts, options)
    with watch.stage("measure"):
        steered.dictionaries.prepare(variants)
    is_streamed = not as_json and len(read) * len(variants) == 1 and sys.stdout.isatty()
    with watch.stage("generate"):
        rows = steered.generate(
            [prompt for prompt in read for _ in variants],
            list(variants) * len(read),
            streamer=_streamer(steered, prompts[0]) if is_streamed else None,
            **sampling_of(options),
        )
    if as_json:
        result = record(command, options, steered, watch.seconds)
        emit_json({**result, **fields, "rows": [row.to_json() for row in rows]})
    else:
        _print(steered, rows, is_streamed=is_streamed)


def keep_preset(path: Path | None, steered: Any, spec: Any, *, force: bool) -> None:
    """Write the edits to a file, if one was asked for."""
    from steering.presets import save_preset

    if path is not None:
        save_preset(path, steered, spec, force=force)
        click.echo(f"{path}", err=True)


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
