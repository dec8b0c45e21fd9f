"""`sae localise`: do features fire where their concepts are told."""

from pathlib import Path
from typing import Any

import click

from sae.command_line import (
    Stopwatch,
    default_output,
    host_options,
    json_option,
    output_options,
)
from sae.commands.host_and_sae import load_host_and_sae
from sae.commands.labelled_input import check_source, labelled
from sae.commands.options import result
from sae.commands.report_file import hand_over

__all__ = ["localise"]

EXAMPLE = "sae localise sae/bundles/clinic/clinical/resid_post.2 --corpus clinic:clinical --documents 400"


@click.command(epilog=f"Example:  {EXAMPLE}")
@click.argument("path", metavar="SAE", type=click.Path(path_type=Path))
@click.option("--corpus", default=None, help="A corpus that knows what its texts say, such as clinic:clinical.")
@click.option(
    "--labels",
    type=click.Path(path_type=Path),
    default=None,
    help="JSON lines {text, concepts: [{start, end, concept}]}, plain or gzip.",
)
@click.option("--documents", type=click.IntRange(min=2), default=1000, help="Documents to read from the corpus.")
@click.option("--concepts", default=None, help="Comma list of concepts to score  [default: all that are told]")
@click.option("--permutations", type=click.IntRange(min=0), default=100, help="Draws of the permutation null.")
@output_options
@host_options
@json_option
def localise(path: Path, out: Path | None, force: bool, as_json: bool, **options: Any) -> None:
    """Choose a feature for each concept on half of the documents and score where it fires on the other half."""
    check_source(options["corpus"], options["labels"])
    watch = Stopwatch()
    found = _localise(path, options, watch)
    target = out or default_output("sae-localise")
    fields = result("localise", {"path": path, **options}, seconds=watch.seconds, **found.to_json())

    def render() -> Any:
        from sae.localisation.terminal_view import render_localisation

        return render_localisation(found)

    hand_over(fields, target, render, force=force, as_json=as_json)


def _localise(path: Path, options: dict[str, Any], watch: Stopwatch) -> Any:
    from sae.corpus_knowledge import corpus_documents
    from sae.localisation.localising import localise as localise_features

    corpus, n, seed = options["corpus"], options["documents"], options["seed"]
    with watch.stage("documents"):
        documents = labelled(corpus, options["labels"], n, seed, kind="labelled_documents")
        unseen = [] if corpus is None else corpus_documents(corpus, n // 2, seed=seed, kind="unseen_documents")
    with watch.stage("load"):
        host, sae = load_host_and_sae(path, options)
    names = None if options["concepts"] is None else [name.strip() for name in options["concepts"].split(",")]
    with watch.stage("localise"):
        return localise_features(
            host, sae, documents, unseen=unseen, concepts=names, n_permutations=options["permutations"], seed=seed
        )
