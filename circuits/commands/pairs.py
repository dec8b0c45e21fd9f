"""`circuits pairs`: files of pairs, from another project and before they are used."""

import json
from pathlib import Path
from typing import Any

import click

from sae.command_line import SCHEMA_VERSION, Program, emit_json, host_options, json_option

__all__ = ["pairs"]

IMPORT_EXAMPLE = "circuits pairs import rc_train.json pairs.jsonl --by-word"
CHECK_EXAMPLE = "circuits pairs check pairs.jsonl --model clinic"


@click.group(cls=Program, epilog=f"Example:  {CHECK_EXAMPLE}")
def pairs() -> None:
    """Bring in and check files of pairs, for `circuits discover --pairs`."""


@click.command("import", epilog=f"Example:  {IMPORT_EXAMPLE}")
@click.argument("source", metavar="IN", type=click.Path(path_type=Path))
@click.argument("output", metavar="OUT", type=click.Path(path_type=Path))
@click.option("--by-word", is_flag=True, help="Align word by word: every word of clean_prefix becomes a span.")
@click.option("--force", is_flag=True, help="Overwrite an existing file.")
@json_option
def import_pairs(source: Path, output: Path, by_word: bool, force: bool, as_json: bool) -> None:
    """Bring a pairs file of feature-circuits into the form that discover reads.

    Its case becomes the template that pairs are resampled by. A file whose prefixes all have one token length can be
    given to discover as it is.
    """
    if output.exists() and not force:
        raise ValueError(f"output {str(output)!r} exists already; give another OUT or add --force")
    from circuits.prompts.feature_circuits_pairs import feature_circuits_pairs
    from sae.written_whole import written_whole

    records = feature_circuits_pairs(_lines(source), by_word=by_word)
    with written_whole(output) as part:
        part.write_text("".join(f"{json.dumps(record, ensure_ascii=False)}\n" for record in records), encoding="utf-8")
    if as_json:
        _emit("import", source=str(source), out=str(output), by_word=by_word, pairs=len(records))
    else:
        click.echo(f"{len(records)} pairs written to {output}; `circuits pairs check {output}` says which can be used")


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"pairs file {str(path)!r} cannot be read ({error}); expected lines of JSON") from error


@click.command("check", epilog=f"Example:  {CHECK_EXAMPLE}")
@click.argument("file", type=click.Path(path_type=Path))
@host_options
@json_option
def check(file: Path, model: str, seed: int, device: str, dtype: str, as_json: bool) -> None:
    """Say which pairs of a file a model can be asked about, line by line.

    Pairs must align in tokens; those whose answers the model does not give are left out by discover. Exit code 1 if a
    pair cannot be used at all.
    """
    from circuits.prompts.checked_pairs import check_pairs
    from sae.host.host import HostModel
    from sae.prompt_pairs import read_pairs

    read = read_pairs(file)
    found = check_pairs(HostModel.load(model, device=device, dtype=dtype), read)
    if as_json:
        _emit("check", file=str(file), model=model, **found.to_json())
    else:
        _print(found)
    if found.unusable:
        raise ValueError(f"{len(found.unusable)} of {found.n_pairs} pairs cannot be used; reword or drop their lines")


def _print(found: Any) -> None:
    for kind, lines in (("cannot be used", found.unusable), ("left out", found.excluded)):
        for line, reason in lines.items():
            click.echo(f"line {line}: {kind}: {reason}")
    aligned = f"by {len(found.spans)} spans" if found.spans else f"by token, {found.n_tokens} tokens each"
    n_good = found.n_pairs - len(found.unusable) - len(found.excluded)
    click.echo(f"{n_good} of {found.n_pairs} pairs can be used and are answered as they say; aligned {aligned}")


def _emit(command: str, **fields: Any) -> None:
    emit_json({"schema_version": SCHEMA_VERSION, "command": f"circuits pairs {command}", **fields})


for command in (import_pairs, check):
    pairs.add_command(command)
