"""`steering chat`: a conversation on the terminal whose edits change as it goes on."""

import sys
from pathlib import Path
from typing import Any

import click

from steering.commands.options import edit_options, open_host, read_spec, sampling_of, steering_options

__all__ = ["chat"]

HELP = """/set SITE/FEATURE VALUE[unit]   add along a feature
/set EDIT                      any other edit, as SITE/FEATURE:OP[=VALUE[unit]][@POSITIONS]
/edits                         what is edited
/clear [SITE/FEATURE]          drop all edits, or those of one feature
/save FILE                     write the edits as a preset
/new                           forget the conversation
/quit                          leave"""


@click.command(epilog="Example:  steering chat --edit resid_post.3/735:add=0.5max_act@generated --max-new-tokens 16")
@edit_options
@steering_options
def chat(edits: tuple[str, ...], positions: str, preset: Path | None, **options: Any) -> None:
    """Talk to a steered model; /set changes an edit from the next answer on.

    A model without a chat template continues each line by itself.
    """
    from steering.chat import ChatSession

    steered = open_host(options)
    spec = read_spec(steered, edits, positions, preset)
    steered.dictionaries.prepare([spec])
    session = ChatSession(steered, spec, sampling_of(options), positions)
    memory = "" if session.remembers else "The model has no chat template: each line is continued by itself. "
    click.echo(f"{memory}/help lists the commands.", err=True)
    while (line := _next_line()) is not None and line.strip() != "/quit":
        try:
            _answer(session, line.strip())
        except ValueError as error:
            click.echo(f"Error: {' '.join(str(error).split())}", err=True)


def _next_line() -> str | None:
    """What the user types; None at the end of the input."""
    try:
        return input(click.style("> ", bold=True) if sys.stdin.isatty() else "")
    except (EOFError, KeyboardInterrupt):
        return None


def _answer(session: Any, line: str) -> None:
    if not line:
        return
    if line.startswith("/"):
        name, _, rest = line[1:].partition(" ")
        _command(session, name, rest.strip())
        return
    from steering.streaming import TerminalStreamer
    from steering.wording import lines_of

    streamer = TerminalStreamer(session.steered.host.tokenizer, lambda text: click.echo(text, nl=False))
    row = session.reply(line, streamer=streamer)
    for described in lines_of(row.steered, session.steered.dictionaries):
        click.echo(f"    {described}", err=True)


def _command(session: Any, name: str, rest: str) -> None:
    from steering.presets import save_preset
    from steering.wording import described_edit

    if name == "set":
        click.echo(described_edit(session.set(rest), session.steered.dictionaries))
    elif name == "edits":
        for each in session.spec.interventions:
            click.echo(described_edit(each, session.steered.dictionaries))
        if session.spec.is_plain:
            click.echo("no edits")
    elif name == "clear":
        session.clear(rest)
    elif name == "new":
        session.start_anew()
    elif name == "save" and rest:
        save_preset(Path(rest), session.steered, session.spec)
    elif name == "help":
        click.echo(HELP)
    else:
        raise ValueError(f"unknown command {f'/{name} {rest}'.strip()!r}, expected one that /help lists")
