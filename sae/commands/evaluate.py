"""`sae evaluate`: everything that can be said of a dictionary's fidelity, beside nulls."""

from pathlib import Path
from typing import Any

import click

from sae.command_line import (
    Stopwatch,
    default_output,
    emit_json,
    host_options,
    json_option,
    output_directory,
    output_options,
)
from sae.commands.options import CORPUS_HELP, result
from sae.commands.report_file import write_report

__all__ = ["evaluate"]

NULLS = ("zero", "mean", "random", "pca")
CLASSES = ("answer", "concept", "other")
TABLE = "documents.safetensors"
EXAMPLE = "sae evaluate sae/bundles/clinic/clinical/resid_post.2 --corpus clinic:clinical:split=test"


def _choices(known: tuple[str, ...]) -> Any:
    """A comma list of some known names."""

    def parse(ctx: click.Context, param: click.Parameter, value: str) -> tuple[str, ...]:
        names = tuple(name.strip() for name in value.split(",") if name.strip())
        if unknown := [name for name in names if name not in known]:
            raise click.BadParameter(f"{unknown[0]!r} is unknown, expected some of {', '.join(known)}", ctx, param)
        return names

    return parse


@click.command(epilog=f"Example:  {EXAMPLE}")
@click.argument("path", metavar="SAE", type=click.Path(path_type=Path))
@click.option("--corpus", required=True, help=f"Text that the SAE was not trained on: {CORPUS_HELP}")
@click.option("--tokens", type=click.IntRange(min=1), default=100_000, help="Tokens to evaluate.")
@click.option(
    "--classes", default=",".join(CLASSES), callback=_choices(CLASSES), help="Position classes to report apart."
)
@click.option("--nulls", default=",".join(NULLS), callback=_choices(NULLS), help="Columns beside the SAE.")
@click.option("--residual", is_flag=True, help="Also split the error into its linear part and the rest.")
@click.option("--bits", is_flag=True, help="Also measure the description length of a token.")
@click.option(
    "--saebench", type=click.Path(path_type=Path), default=None, help="Also write a file in SAEBench's core layout."
)
@output_options
@host_options
@json_option
def evaluate(path: Path, saebench: Path | None, out: Path | None, force: bool, as_json: bool, **options: Any) -> None:
    """Measure fidelity: explained variance, loss, sparsity, answers; by position class, beside nulls.

    --out gets report.json and documents.safetensors, from which any two evaluations of the same text can be compared in
    pairs.
    """
    from sae.evaluation.saebench import saebench_core, write_saebench_core
    from sae.evaluation.table_files import save_table

    if saebench is not None and saebench.exists() and not force:
        raise ValueError(f"output {str(saebench)!r} exists already; give another --saebench or add --force")
    watch = Stopwatch()
    sae, host, evaluation, facts, in_memory = _evaluate(path, options, watch)
    with watch.stage("measure"):
        report = {**evaluation.to_json(options["classes"]), **in_memory}
    target = out or default_output("sae-evaluate")
    record = result(
        "evaluate",
        {"path": path, "saebench": saebench, **options},
        out=str(target),
        **facts,
        **report,
        seconds=watch.seconds,
    )
    with output_directory(target, force=force) as directory:
        write_report(record, directory)
        save_table(evaluation.table, directory / TABLE)
    if saebench is not None:
        write_saebench_core(saebench_core(evaluation, sae, host, corpus=options["corpus"]), saebench)
    if as_json:
        emit_json(record)
        return
    from rich.console import Console

    from sae.evaluation.evaluation_table import render_evaluation

    Console().print(render_evaluation(report))
    if facts["trained_on_this_corpus"]:
        click.echo(f"{options['corpus']} is what the SAE was trained on: these numbers are not held out", err=True)
    click.echo(f"{target}", err=True)


def _evaluate(
    path: Path, options: dict[str, Any], watch: Stopwatch
) -> tuple[Any, Any, Any, dict[str, Any], dict[str, Any]]:
    """The dictionary, its host, the evaluation, what it is of, and what goes over the activations more than once."""
    from sae.corpora import annotated_texts
    from sae.dictionary.autoencoder import SAE
    from sae.dictionary.host_record import check_recorded_host
    from sae.evaluation.evaluating import evaluate_documents, read_documents
    from sae.evaluation.in_memory import evaluate_in_memory
    from sae.host.host import HostModel
    from sae.inspection.sources import recorded_corpus

    with watch.stage("load"):
        sae = SAE.load(path)
        host = HostModel.load(options["model"], device=options["device"], dtype=options["dtype"])
    check_recorded_host(sae.metadata, host, source=str(path))
    seed = options["seed"]
    with watch.stage("read"):
        texts = annotated_texts(options["corpus"], seed=seed)
        documents = read_documents(host, texts, n_tokens=options["tokens"])
    with watch.stage("in memory"):
        # first, since it refuses what is too little
        in_memory = evaluate_in_memory(
            sae, host, documents, residual=options["residual"], bits=options["bits"], seed=seed
        )
    with watch.stage("evaluate"):
        evaluation = evaluate_documents(sae, host, documents, nulls=options["nulls"], seed=seed)
    facts = {
        "model": {"name": host.name, "path": str(host.path)},
        "sae": {"path": str(path), "site": str(sae.site), "d_sae": sae.d_sae, "sha256": sae.content_hash},
        "trained_on_this_corpus": recorded_corpus(sae) == options["corpus"],
    }
    return sae, host, evaluation, facts, in_memory
