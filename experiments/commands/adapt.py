"""`experiments adapt`: continued pre-training of a host on a domain's text."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sae.command_line import SCHEMA_VERSION, FiniteFloat, emit_json, json_option, versions
from sae.commands.options import CORPUS_HELP

if TYPE_CHECKING:
    from experiments.adaptation.adapting import Adaptation

__all__ = ["adapt"]

EXAMPLE = "experiments adapt --model clinic --corpus clinic:clinical --tokens 200000 --out runs/adapted"


def _named(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    """NAME=SPEC, one a use."""
    found = {}
    for value in values:
        name, equals, spec = value.partition("=")
        if not (name and equals and spec):
            raise click.BadParameter(f"{value!r} is not NAME=SPEC, as in broad=clinic:broad", ctx, param)
        found[name] = spec
    return found


@click.command(epilog=f"Example:  {EXAMPLE}")
@click.option("--model", required=True, help="Bundled name, directory or Hugging Face id.")
@click.option("--corpus", required=True, help=f"The domain's text: {CORPUS_HELP}")
@click.option("--tokens", type=click.IntRange(min=1), required=True, help="Tokens to train on.")
@click.option(
    "--out", type=click.Path(path_type=Path), required=True, help="Directory; one that was cut short is continued."
)
@click.option(
    "--held-out",
    multiple=True,
    callback=_named,
    metavar="NAME=SPEC",
    help="One more corpus whose held-out perplexity is measured, to see what is forgotten; repeatable.",
)
@click.option("--context", type=click.IntRange(min=2), default=512, help="Tokens of a row.", show_default=True)
@click.option("--batch-size", type=click.IntRange(min=1), default=8, help="Rows of a pass.", show_default=True)
@click.option("--accumulation", type=click.IntRange(min=1), default=1, help="Passes of an update.", show_default=True)
@click.option("--learning-rate", type=FiniteFloat(0.0), default=3e-4, help="Its peak.", show_default=True)
@click.option(
    "--lora", type=click.IntRange(min=1), default=None, help="Rank of low-rank updates [default: all weights]."
)
@click.option(
    "--precision",
    type=click.Choice(("float32", "bfloat16")),
    default="float32",
    help="What passes compute in; trained weights are float32.",
)
@click.option("--checkpoint-every", type=click.IntRange(min=1), default=200, help="Updates.", show_default=True)
@click.option("--seed", type=click.IntRange(min=0), default=0, help="Of the order of rows.")
@click.option("--device", default="auto", help="auto, cpu, cuda; under `accelerate launch` each process has its own.")
@json_option
def adapt(
    model: str, corpus: str, tokens: int, out: Path, held_out: dict[str, str], as_json: bool, **options: Any
) -> None:
    """Continue a host's pre-training on a domain's text, with held-out perplexity before and after."""
    from accelerate import PartialState

    from experiments.adaptation.adapting import adapt as adapt_host
    from experiments.adaptation.settings import AdaptationSettings

    settings = AdaptationSettings(
        n_tokens=tokens,
        context_length=options["context"],
        batch_size=options["batch_size"],
        accumulation=options["accumulation"],
        learning_rate=options["learning_rate"],
        lora_rank=options["lora"],
        precision=options["precision"],
        seed=options["seed"],
    )
    done = adapt_host(
        model,
        corpus,
        out,
        settings,
        others=held_out,
        device=options["device"],
        checkpoint_every=options["checkpoint_every"],
    )
    if not PartialState().is_main_process:
        return
    if as_json:
        emit_json(
            {
                "schema_version": SCHEMA_VERSION,
                "command": "experiments adapt",
                "config": settings.to_json(),
                "seed": settings.seed,
                "versions": versions(),
                "host": str(done.host),
                **done.report,
            }
        )
        return
    _show(done)


def _show(done: "Adaptation") -> None:
    """A row for each corpus, and where the host is."""
    for name, row in done.report["perplexity"].items():
        before, after, ratio = (_with_interval(row[part]) for part in ("before", "after", "ratio"))
        click.echo(f"{name}: held-out perplexity {before} before, {after} after; ratio {ratio}")
    click.echo(f"the adapted host is in {done.host}")


def _with_interval(row: dict[str, Any]) -> str:
    interval = "" if row["low"] is None else f" ({row['low']:.3g} to {row['high']:.3g})"
    return f"{row['value']:.3g}{interval}"
