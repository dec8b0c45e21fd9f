"""`sae probe`: what a few features tell of a document, and which features are absorbed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

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

if TYPE_CHECKING:
    from sae.annotated_text import AnnotatedText
    from sae.corpus_knowledge import DocumentKind

__all__ = ["probe"]

EXAMPLE = "sae probe sae/bundles/clinic/clinical/resid_post.2 --corpus clinic:clinical --targets system:lung"


@click.command(epilog=f"Example:  {EXAMPLE}")
@click.argument("path", metavar="SAE", type=click.Path(path_type=Path))
@click.option("--corpus", default=None, help="A corpus that knows what its texts say, such as clinic:clinical.")
@click.option(
    "--labels",
    type=click.Path(path_type=Path),
    default=None,
    help="JSON lines {text, concepts: [{start, end, concept}], classes: [...]}, plain or gzip.",
)
@click.option("--documents", type=click.IntRange(min=2), default=1500, help="Documents to read from the corpus.")
@click.option("--targets", default=None, help="Comma list of classes or concepts to probe  [default: all]")
@click.option("--pooling", type=click.Choice(["mean", "max"]), default="mean", help="How features become a document's.")
@click.option("--absorption", is_flag=True, help="Measure absorption on a hierarchy instead.")
@click.option(
    "--ontology",
    type=click.Path(path_type=Path),
    default=None,
    help="Lines of a child, a tab and its parent  [default: what the corpus knows]",
)
@output_options
@host_options
@json_option
def probe(path: Path, out: Path | None, force: bool, as_json: bool, **options: Any) -> None:
    """Probe documents with 1, 2, 5 and 20 features, beside all activations and the words; or measure absorption."""
    check_source(options["corpus"], options["labels"])
    if options["ontology"] is not None and not options["absorption"]:
        raise click.UsageError("--ontology needs --absorption")
    watch = Stopwatch()
    found = _absorption(path, options, watch) if options["absorption"] else _probing(path, options, watch)
    target = out or default_output("sae-probe")
    fields = result("probe", {"path": path, **options}, seconds=watch.seconds, **found.to_json())

    def render() -> Any:
        from sae.probing.terminal_view import render_absorption, render_probing

        return render_absorption(found) if options["absorption"] else render_probing(found)

    hand_over(fields, target, render, force=force, as_json=as_json)


def _probing(path: Path, options: dict[str, Any], watch: Stopwatch) -> Any:
    from sae.probing.pooled_documents import pool_documents
    from sae.probing.sparse_probing import probe_documents

    with watch.stage("documents"):
        documents = _documents(options, kind="classified_documents")
    with watch.stage("load"):
        host, sae = load_host_and_sae(path, options)
    names = None if options["targets"] is None else [name.strip() for name in options["targets"].split(",")]
    with watch.stage("encode"):
        pooled = pool_documents(host, sae, documents, pooling=options["pooling"], targets=names)
    with watch.stage("probe"):
        return probe_documents(pooled, seed=options["seed"])


def _absorption(path: Path, options: dict[str, Any], watch: Stopwatch) -> Any:
    from sae.corpus_knowledge import concept_parents
    from sae.labelled_documents import read_parents
    from sae.probing.absorption import measure_absorption

    with watch.stage("documents"):
        documents = _documents(options, kind="labelled_documents")
    ontology, corpus = options["ontology"], options["corpus"]
    if ontology is None and corpus is None:
        raise ValueError("--absorption of a label file needs --ontology, lines of a child, a tab and its parent")
    parents = read_parents(ontology) if ontology is not None else concept_parents(corpus)
    with watch.stage("load"):
        host, sae = load_host_and_sae(path, options)
    with watch.stage("absorption"):
        return measure_absorption(host, sae, documents, parents, seed=options["seed"])


def _documents(options: dict[str, Any], *, kind: DocumentKind) -> list[AnnotatedText]:
    return labelled(options["corpus"], options["labels"], options["documents"], options["seed"], kind=kind)
