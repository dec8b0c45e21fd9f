"""`sae judge-cache`: what is kept of judges' answers, to be looked at, passed on, or thrown away."""

from pathlib import Path
from typing import Any

import click

from sae.command_line import FiniteFloat, Program, emit_json, json_option
from sae.commands.options import result

__all__ = ["judge_cache"]


@click.group(name="judge-cache", cls=Program, epilog="Example:  sae judge-cache stats")
def judge_cache() -> None:
    """Look at the answers of judges that are kept, pass them on, throw them away."""


cache_option = click.option(
    "--cache", type=click.Path(path_type=Path), default=None, help="The file  [default: user's cache]."
)


@judge_cache.command(epilog="Example:  sae judge-cache stats")
@cache_option
@json_option
def stats(cache: Path | None, as_json: bool) -> None:
    """Say how many answers there are of each model, their size and age."""
    from dataclasses import asdict

    from sae.interpretation.judges.cache_contents import cached_models

    path = _path(cache)
    models = cached_models(path)
    size = path.stat().st_size
    if as_json:
        emit_json(_result("stats", {"cache": path}, bytes=size, models=[asdict(each) for each in models]))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for heading in ("model", "answers", "kB", "first", "last"):
        table.add_column(heading, justify="right" if heading in ("answers", "kB") else "left", overflow="fold")
    for each in models:
        table.add_row(each.model, str(each.answers), f"{each.bytes / 1000:.0f}", each.first, each.last)
    Console().print(table)
    click.echo(f"{path}: {size / 1000:.0f} kB in all")


@judge_cache.command(epilog="Example:  sae judge-cache export --model gpt-x --out judgements.jsonl")
@cache_option
@click.option("--model", default=None, help="Whose answers  [default: the only model that there is].")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="File to write; replay:FILE reads it.")
@click.option("--force", is_flag=True, help="Overwrite existing output.")
@json_option
def export(cache: Path | None, model: str | None, out: Path, force: bool, as_json: bool) -> None:
    """Write the answers of a model as lines of JSON, to be replayed anywhere."""
    from sae.interpretation.judges.cache_contents import export_answers

    if out.exists() and not force:
        raise ValueError(f"output {str(out)!r} exists already; give another --out or add --force")
    path = _path(cache)
    found, n = export_answers(path, out, model=model)
    if as_json:
        emit_json(_result("export", {"cache": path, "model": model}, model=found, answers=n, out=str(out)))
        return
    click.echo(f"{out}: {n} answers of {found}; replay them with --judge replay:{out}")


@judge_cache.command(epilog="Example:  sae judge-cache prune --older-than 90 --dry-run")
@cache_option
@click.option("--model", default=None, help="Only answers of this model.")
@click.option("--older-than", type=FiniteFloat(0.0), default=None, help="Only answers older than so many days.")
@click.option("--dry-run", is_flag=True, help="Say how many it is about, and delete nothing.")
@json_option
def prune(cache: Path | None, model: str | None, older_than: float | None, dry_run: bool, as_json: bool) -> None:
    """Delete answers by model, by age, or by both."""
    from sae.interpretation.judges.cache_contents import prune_answers

    path = _path(cache)
    before = path.stat().st_size if path.is_file() else 0
    n = prune_answers(path, model=model, older_than_days=older_than, dry_run=dry_run)
    freed = before - path.stat().st_size
    if as_json:
        options = {"cache": path, "model": model, "older_than": older_than, "dry_run": dry_run}
        emit_json(_result("prune", options, answers=n, bytes_freed=freed))
        return
    click.echo(f"{n} answers would be deleted" if dry_run else f"{n} answers deleted, {freed / 1000:.0f} kB given back")


def _path(cache: Path | None) -> Path:
    from sae.interpretation.judges.cache import default_cache

    return cache or default_cache()


def _result(command: str, options: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return result(f"judge-cache {command}", options, **fields)
