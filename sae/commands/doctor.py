"""`sae doctor`: do the metrics measure what they say."""

from typing import Any

import click

from sae.command_line import emit_json, host_options, json_option
from sae.commands.options import result

__all__ = ["doctor"]

CORPUS = "clinic:clinical"
N_DOCUMENTS = 64


@click.command(epilog="Example:  sae doctor")
@click.option("--corpus", default=CORPUS, help="Text whose loss is measured.")
@click.option("--no-host", is_flag=True, help="Leave the spliced losses out.")
@host_options
@json_option
def doctor(as_json: bool, **options: Any) -> None:
    """Score degenerate dictionaries, whose scores are known exactly; exit code 1 when one is off."""
    from sae.evaluation.doctor import run_doctor

    host, documents = (None, []) if options["no_host"] else _host_and_documents(options)
    checks = run_doctor(host, documents, seed=options["seed"])
    if as_json:
        rows = [check.to_json() for check in checks]
        emit_json(result("doctor", options, passed=all(check.is_ok for check in checks), checks=rows))
    else:
        from rich.console import Console

        from sae.evaluation.doctor_table import render_checks

        Console().print(render_checks(checks))
    if not all(check.is_ok for check in checks):
        raise click.exceptions.Exit(1)


def _host_and_documents(options: dict[str, Any]) -> tuple[Any, list[Any]]:
    from itertools import islice

    from sae.corpora import read_corpus
    from sae.host.host import HostModel

    host = HostModel.load(options["model"], device=options["device"], dtype=options["dtype"])
    texts = islice(read_corpus(options["corpus"], seed=options["seed"]), N_DOCUMENTS)
    return host, [host.tokenise(text)[: host.context_length] for text in texts]
