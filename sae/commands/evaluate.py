"""`sae evaluate`: everything that can be said of a dictionary's fidelity, beside nulls."""

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
from sae.commands.options import CORPUS_HELP, result
from sae.commands.report_file import hand_over

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
    with watch.stage("load"):
        host, sae = load_host_and_sae(path, options)
    evaluation, facts, in_memory = _evaluate(host, sae, path, options, watch)
    with watch.stage("measure"):
        report = {**evaluation.to_json(options["classes"]), **in_memory}
    target = out or default_output("sae-evaluate")
    config = {"path": path, "saebench": saebench, **options}
    record = result("evaluate", config, out=str(target), **facts, **report, seconds=watch.seconds)
    if facts["trained_on_this_corpus"] and not as_json:
        click.echo(f"{options['corpus']} is what the SAE was trained on: these numbers are not held out", err=True)

    def render() -> Any:
        from sae.evaluation.evaluation_table import render_evaluation

        return render_evaluation(report)

    def write(directory: Path) -> None:
        save_table(evaluation.table, directory / TABLE)
        if saebench is not None:
            write_saebench_core(saebench_core(evaluation, sae, host, corpus=options["corpus"]), saebench)

    hand_over(record, target, render, force=force, as_json=as_json, write=write)


def _evaluate(
    host: Any, sae: Any, path: Path, options: dict[str, Any], watch: Stopwatch
) -> tuple[Any, dict[str, Any], dict[str, Any]]:
    """The evaluation, what it is of, and the parts that go over the activations more than once."""
    from sae.corpus_knowledge import annotated_texts
    from sae.evaluation.evaluating import evaluate_documents, read_documents
    from sae.evaluation.in_memory import evaluate_in_memory
    from sae.inspection.sources import recorded_corpus

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
    return evaluation, facts, in_memory
