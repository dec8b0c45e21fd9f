"""`sae harvest`: activations of a corpus to a store."""

from pathlib import Path
from typing import Any

import click

from sae.command_line import Stopwatch, default_output, emit_json, host_options, json_option
from sae.commands.options import CORPUS_HELP, result

__all__ = ["harvest"]

EXAMPLE = "sae harvest --corpus clinic:clinical --sites 'resid_post.*' --tokens 500000 --out runs/store"


@click.command(epilog=f"Example:  {EXAMPLE}")
@click.option("--corpus", required=True, help=CORPUS_HELP)
@click.option("--sites", required=True, help="Comma list with globs, e.g. 'resid_post.*'; all in one pass.")
@click.option("--tokens", type=click.IntRange(min=1), required=True, help="Training tokens to store.")
@click.option(
    "--store-dtype",
    type=click.Choice(("bfloat16", "int8")),
    default="bfloat16",
    help="Precision on disk; int8 has a scale for each token.",
)
@click.option("--importance", is_flag=True, help="Also store label-free sampling weights, which training then uses.")
@click.option("--held-out", type=click.IntRange(min=1), default=None, help="Held-out tokens [default: 5 %].")
@click.option("--out", type=click.Path(path_type=Path), default=None, help="New directory, or one to go on with.")
@host_options
@json_option
def harvest(out: Path | None, as_json: bool, **options: Any) -> None:
    """Write activations to disk, shuffled, to be read by `sae train --store`.

    A harvest that was cut short goes on when the same command is given again.
    """
    from sae.activations.store.harvesting import harvest_to_store
    from sae.corpora import read_corpus
    from sae.host.host import HostModel
    from sae.host.sites import match_sites

    watch = Stopwatch()
    with watch.stage("load"):
        host = HostModel.load(options["model"], device=options["device"], dtype=options["dtype"])
    settings = {} if options["held_out"] is None else {"held_out_tokens": options["held_out"]}
    with watch.stage("harvest"):
        store = harvest_to_store(
            host,
            read_corpus(options["corpus"], seed=options["seed"]),
            match_sites(options["sites"], host.sites),
            corpus=options["corpus"],
            n_tokens=options["tokens"],
            out=out or default_output("sae-harvest"),
            dtype=options["store_dtype"],
            importance=options["importance"],
            seed=options["seed"],
            **settings,
        )
    sites = [str(site) for site in store.sites]
    facts = {
        "path": str(store.path),
        "sites": sites,
        "tokens": store.n_tokens,
        "d_model": store.d_model,
        "sha256": store.content_hash,
    }
    if as_json:
        model = {"name": host.name, "path": str(host.path)}
        emit_json(result("harvest", options, model=model, store=facts, seconds=watch.seconds))
        return
    click.echo(f"{store.path}: {store.n_tokens} tokens at {', '.join(sites)}")
