"""The `sae` program: a thin shell over training and the SAE format."""

from pathlib import Path
from typing import Any

import click

from sae.command_line import (
    SCHEMA_VERSION,
    Program,
    default_output,
    emit_json,
    json_option,
    output_directory,
    output_options,
    versions,
)

__all__ = ["main"]

LATER_ARCHITECTURES = ("jumprelu", "matryoshka")
EXAMPLE = "sae train --corpus clinic:clinical --sites resid_post.2 --d-sae 512 --l0 4 --tokens 500000 --out runs/sae"


@click.group(cls=Program, epilog=f"Example:  {EXAMPLE}")
@click.version_option(package_name="domain-circuits")
def main() -> None:
    """Train sparse autoencoders on a language model's activations, and look at them."""


def _known_architecture(ctx: click.Context, param: click.Parameter, value: str) -> str:
    if value in LATER_ARCHITECTURES:
        raise click.UsageError(f"--architecture {value} is not available in this version, choose batchtopk")
    return value


def _numbers(ctx: click.Context, param: click.Parameter, value: str) -> tuple[float, ...]:
    """A comma list of numbers."""
    try:
        return tuple(float(part) for part in value.split(","))
    except ValueError:
        raise click.BadParameter(f"{value!r} is no comma list of numbers", ctx, param) from None


@main.command(epilog=f"Example:  {EXAMPLE}")
@click.option(
    "--corpus",
    required=True,
    help="clinic:clinical, clinic:broad, hf:NAME, a .jsonl(.gz), .parquet or .txt path, or 0.5*A+0.5*B.",
)
@click.option("--sites", required=True, help="Comma list with globs, e.g. 'resid_post.*'.")
@click.option("--d-sae", type=click.IntRange(min=1), required=True, help="Features per SAE.")
@click.option(
    "--l0",
    callback=_numbers,
    required=True,
    help="Wanted mean number of active features of a token; several, by commas, train several SAEs.",
)
@click.option("--tokens", type=click.IntRange(min=1), required=True, help="Tokens that each SAE is trained on.")
@click.option(
    "--architecture",
    type=click.Choice(("batchtopk", *LATER_ARCHITECTURES)),
    default="batchtopk",
    callback=_known_architecture,
    help="Trained as this, written as JumpReLU.",
)
@click.option("--uniform", is_flag=True, help="Draw tokens uniformly instead of by label-free importance.")
@click.option("--model", default="clinic", help="Bundled name, directory or Hugging Face id.")
@click.option("--seed", type=click.IntRange(min=0), default=0, help="Seed of everything random.")
@click.option("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps.")
@click.option("--dtype", default="float32", help="float32, bfloat16 or float16.")
@output_options
@json_option
def train(out: Path | None, force: bool, as_json: bool, **options: Any) -> None:
    """Train one SAE for each site and wanted L0 on the activations of a corpus."""
    target_directory = out or default_output("sae-train")
    with output_directory(target_directory, force=force) as directory:
        from sae.command_line import Stopwatch
        from sae.host.host import HostModel
        from sae.host.sites import match_sites
        from sae.training.corpus_training import CorpusTraining, train_on_corpus

        watch = Stopwatch()
        with watch.stage("load"):
            host = HostModel.load(options["model"], device=options["device"], dtype=options["dtype"])
        training = CorpusTraining(
            corpus=options["corpus"],
            sites=tuple(match_sites(options["sites"], host.sites)),
            d_sae=options["d_sae"],
            l0=options["l0"],
            n_tokens=options["tokens"],
            uses_importance=not options["uniform"],
            seed=options["seed"],
        )
        with watch.stage("train"):
            trained = train_on_corpus(host, training, directory)
    rows = [{**sae.to_json(), "path": str(target_directory / sae.path.name)} for sae in trained]
    if as_json:
        emit_json(
            {
                "schema_version": SCHEMA_VERSION,
                "command": "sae train",
                "config": dict(options),
                "seed": options["seed"],
                "versions": versions(),
                "model": {"name": host.name, "path": str(host.path)},
                "saes": rows,
                "seconds": watch.seconds,
            }
        )
        return
    for row in rows:
        ev = "undefined" if row["ev"] is None else f"{row['ev']:.3f}"
        click.echo(
            f"{row['path']}: L0 {row['l0']:.2f} (wanted {row['l0_target']:g}), explained variance {ev}, "
            f"delta CE {row['delta_ce']:.3f} nats, {row['dead']:.0%} dead"
        )


@main.command(epilog="Example:  sae info sae/bundles/clinic/clinical/resid_post.2")
@click.argument("path", type=click.Path(path_type=Path))
@json_option
def info(path: Path, as_json: bool) -> None:
    """Say what an SAE directory holds: site, shape, host, training record."""
    from sae.dictionary.autoencoder import SAE
    from sae.dictionary.labels import load_labels

    sae = SAE.load(path)
    facts = {
        "path": str(path),
        "site": None if sae.site is None else str(sae.site),
        "d_model": sae.d_model,
        "d_sae": sae.d_sae,
        "threshold": {"lowest": sae.threshold.min().item(), "highest": sae.threshold.max().item()},
        "labelled_features": len(load_labels(path)),
        "sha256": sae.content_hash,
        "metadata": sae.metadata,
    }
    if as_json:
        emit_json({"schema_version": SCHEMA_VERSION, "command": "sae info", "versions": versions(), **facts})
        return
    for name, value in facts.items():
        if name != "metadata":
            click.echo(f"{name}: {value}")
    for name, value in sae.metadata.get("domain_circuits", {}).items():
        click.echo(f"{name}: {value}")
