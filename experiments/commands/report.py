"""`experiments report`: what an experiment found, from its results."""

from pathlib import Path

import click

from sae.command_line import emit_json, json_option

__all__ = ["report"]


@click.command(epilog="Example:  experiments report runs/domain-vs-broad")
@click.argument("directory", type=click.Path(path_type=Path))
@json_option
def report(directory: Path, as_json: bool) -> None:
    """Print the report in DIRECTORY, and write its Markdown, page and figures anew from report.json."""
    from experiments.report.markdown import report_markdown
    from experiments.report.report_files import read_report, write_report
    from experiments.report.report_json import report_to_json

    found = read_report(directory)
    write_report(found, directory if directory.is_dir() else directory.parent)
    if as_json:
        emit_json(report_to_json(found))
    else:
        click.echo(report_markdown(found), nl=False)
