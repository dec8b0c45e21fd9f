"""`sae features`: what the features of a dictionary respond to and write."""

from pathlib import Path
from typing import Any

import click

from sae.command_line import (
    default_output,
    emit_json,
    host_options,
    json_option,
    output_directory,
    output_options,
)
from sae.commands.options import CORPUS_HELP, result

__all__ = ["features"]

PAGE = "features.html"
EXAMPLE = "sae features sae/bundles/clinic/clinical/resid_post.3 --id 12"


@click.command(epilog=f"Example:  {EXAMPLE}")
@click.argument("path", metavar="SAE", type=click.Path(path_type=Path))
@click.option("--id", "feature", type=click.IntRange(min=0), default=None, help="One feature [default: an overview].")
@click.option("--corpus", default=None, help=f"{CORPUS_HELP}  [default: what the SAE was trained on]")
@click.option("--tokens", type=click.IntRange(min=1), default=100_000, help="Tokens to look at.")
@output_options
@host_options
@json_option
def features(path: Path, out: Path | None, force: bool, as_json: bool, **options: Any) -> None:
    """Look at one feature, or at all: contexts, densities, logit lens, neighbours; in the terminal and as a page."""
    from sae.inspection.page import write_page

    report = _inspect(path, options)
    target = out or default_output("sae-features")
    with output_directory(target, force=force) as directory:
        write_page(report, directory / PAGE)
    page = target / PAGE
    if as_json:
        emit_json(result("features", {"path": path, **options}, page=str(page), **report.to_json()))
        return
    from rich.console import Console

    from sae.inspection.reports import FeatureReport
    from sae.inspection.terminal_view import render_dictionary, render_feature

    view = render_feature(report) if isinstance(report, FeatureReport) else render_dictionary(report)
    Console().print(view)
    click.echo(f"{page}", err=True)


def _inspect(path: Path, options: dict[str, Any]) -> Any:
    from sae.corpora import read_corpus
    from sae.dictionary.autoencoder import SAE
    from sae.dictionary.host_record import check_recorded_host
    from sae.host.host import HostModel
    from sae.inspection.inspect_dictionary import inspect_dictionary
    from sae.inspection.inspect_features import inspect_features
    from sae.inspection.sources import recorded_corpus

    sae = SAE.load(path)
    corpus = options["corpus"] or recorded_corpus(sae)
    if corpus is None:
        raise ValueError(f"{path} does not say what it was trained on; give --corpus")
    host = HostModel.load(options["model"], device=options["device"], dtype=options["dtype"])
    check_recorded_host(sae.metadata, host, source=str(path))
    sae = sae.to(host.device)
    texts = read_corpus(corpus, seed=options["seed"])
    if options["feature"] is None:
        return inspect_dictionary(host, sae, texts, corpus=corpus, n_tokens=options["tokens"])
    wanted = [options["feature"]]
    return inspect_features(host, sae, texts, wanted, corpus=corpus, n_tokens=options["tokens"], seed=options["seed"])[
        0
    ]
