"""`experiments run`: an experiment from its plan to its report."""

from pathlib import Path
from typing import Any

import click

from sae.command_line import emit_json, json_option

__all__ = ["run"]


@click.command(epilog="Example:  experiments run domain-vs-broad --profile clinic --dry-run")
@click.argument("name")
@click.option(
    "--profile", default="clinic", help="Size and data; the experiment's README lists them.", show_default=True
)
@click.option("--seeds", type=click.IntRange(min=1), default=None, help="How many [default: the profile's number].")
@click.option("--data", type=click.Path(path_type=Path), default=None, help="Text of profiles that need some.")
@click.option(
    "--work",
    type=click.Path(path_type=Path),
    default=None,
    help="Where finished parts are kept; a run that was cut short continues there [default: runs/NAME-PROFILE].",
)
@click.option(
    "--hosts",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    default=None,
    help="Where a run of another profile built the same hosts, its WORK/hosts [default: built if missing].",
)
@click.option("--model", default=None, help="Of profile `own`: bundled name, directory or hub id.")
@click.option("--saes", default=None, help="Of profile `own`: directory or sae-lens release [default: the model's].")
@click.option(
    "--pairs",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    default=None,
    help="Of profile `own`: vignettes that differ in one thing, as lines of JSON.",
)
@click.option("--only", multiple=True, metavar="NAME", help="Of an experiment of several analyses: run this one.")
@click.option("--scale", type=click.FloatRange(min=0, min_open=True), default=None, help="Times the default cases.")
@click.option("--out", type=click.Path(path_type=Path), default=None, help="Of the report [default: WORK/report].")
@click.option("--device", default="auto", help="auto, cpu, cuda.")
@click.option("--dry-run", is_flag=True, help="Say what there is to do and what it costs, and stop.")
@json_option
def run(
    name: str, profile: str, work: Path | None, out: Path | None, dry_run: bool, as_json: bool, **options: Any
) -> None:
    """Run the experiment NAME and write its report."""
    from experiments.registry import find_experiment
    from experiments.report.markdown import report_markdown
    from experiments.report.report_files import write_report
    from experiments.report.report_json import report_to_json

    module = find_experiment(name).load()
    work = work or Path("runs") / f"{name}-{profile}"
    device = options.pop("device")
    given = {option: value for option, value in options.items() if value not in (None, ())}
    for option in given:
        if option not in module.OPTIONS:
            taken = ", ".join(f"--{each}" for each in module.OPTIONS)
            raise ValueError(f"experiment {name!r} takes no --{option}, expected some of: {taken}")
    if dry_run:
        click.echo(module.plan(profile, work=work, **given))
        return
    report = module.run(profile, work=work, **given, device=device, tell=lambda text: click.echo(text, err=True))
    directory = out or work / "report"
    write_report(report, directory)
    if as_json:
        emit_json(report_to_json(report))
        return
    click.echo(report_markdown(report), nl=False)
    click.echo(f"report: {directory / 'report.html'}", err=True)
