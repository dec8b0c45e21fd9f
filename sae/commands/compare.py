"""`sae compare`: how many features two dictionaries share."""

from pathlib import Path
from typing import Any

import click

from sae.command_line import emit_json, json_option
from sae.commands.options import result

__all__ = ["compare"]

BUNDLE = "sae/bundles/clinic"
EXAMPLE = f"sae compare {BUNDLE}/clinical/resid_post.2 {BUNDLE}/broad/resid_post.2"


@click.command(epilog=f"Example:  {EXAMPLE}")
@click.argument("first", metavar="A", type=click.Path(path_type=Path))
@click.argument("second", metavar="B", type=click.Path(path_type=Path))
@click.option(
    "--baseline", type=click.Path(path_type=Path), default=None, help="SAE trained as A was, with another seed."
)
@click.option("--seed", type=click.IntRange(min=0), default=0, help="Seed of everything random.")
@json_option
def compare(first: Path, second: Path, baseline: Path | None, as_json: bool, seed: int) -> None:
    """Match the features of A to those of B, one to one, and say how many they share."""
    from sae.dictionary.autoencoder import SAE
    from sae.evaluation.matched_features import compare_dictionaries

    other_seed = None if baseline is None else SAE.load(baseline)
    found = compare_dictionaries(SAE.load(first), SAE.load(second), baseline=other_seed, seed=seed)
    if as_json:
        options = {"a": first, "b": second, "baseline": baseline, "seed": seed}
        emit_json(result("compare", options, **found.to_json()))
        return
    for line in _lines(found.to_json()):
        click.echo(line)


def _lines(found: dict[str, Any]) -> list[str]:
    from sae.evaluation.evaluation_table import number_with_interval

    named = {
        "shared by A and B": found["shared"],
        "by chance": found["null"],
        "by A and the second seed": found["baseline"],
        "missing beside the second seed": found["missing"],
    }
    lines = [f"{name}: {number_with_interval(value)}" for name, value in named.items() if value is not None]
    for part in ("encoder", "decoder"):
        quantiles = ", ".join(f"{percent} % {cosine:.2f}" for percent, cosine in found[f"{part}_cosines"].items())
        lines.append(f"{part} cosines of pairs: {quantiles}")
    if found["baseline"] is None:
        lines.append(
            "no second seed was given (--baseline): how much of the difference is due to the seed is not known"
        )
    return [
        f"{found['d_sae_a']:,} features of A, {found['d_sae_b']:,} of B; shares of A's, cosines at least 0.7",
        *lines,
    ]
