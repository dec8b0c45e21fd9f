"""`circuits discover`: from a prompt to its circuit."""

from pathlib import Path
from typing import Any

import click

from circuits.commands.printing import print_circuit
from sae.command_line import (
    FiniteFloat,
    default_output,
    emit_json,
    json_option,
    model_options,
    output_directory,
    output_options,
)

__all__ = ["EXAMPLE", "discover"]

METHODS = ("integrated_gradients", "attribution_patching", "frozen", "relp", "exact", "mask")
IG_RULES = ("midpoint", "left")
BASELINES = ("contrast", "resample", "mean", "zero")
BASES = ("features", "neurons", "residual")

EXAMPLE = (
    'circuits discover --prompt "Patient: young woman. Findings: headache, photophobia and vomiting. Absent: fever. '
    'The most likely diagnosis is"'
)


def _refuse_later(option: str) -> Any:
    """An option of a coming version, refused by name."""

    def refuse(ctx: click.Context, param: click.Parameter, value: Any) -> None:
        if value:
            raise click.UsageError(f"{option} is not available in this version")

    return refuse


@click.command(epilog=f"Example:  {EXAMPLE}")
@click.option("--prompt", default=None, help="Text whose next token is to be explained.")
@click.option(
    "--pairs",
    type=click.Path(path_type=Path),
    default=None,
    help="Instead of --prompt: JSON lines with clean_prefix, patch_prefix, clean_answer, patch_answer.",
)
@click.option("--keep-wrong", is_flag=True, help="Keep pairs whose answers the model does not give.")
@click.option(
    "--contrast",
    default=None,
    metavar="TEXT|auto",
    help="Prompt of equal token length that changes the answer; auto searches the smallest change of tokens.",
)
@click.option(
    "--reference",
    type=click.Path(path_type=Path),
    default=None,
    help="File of prompts, one a line, for the resample and mean baselines [default: those bundled with the model].",
)
@click.option("--target", default=None, help="Answer to explain [default: the model's].")
@click.option("--foil", default=None, help="Answer to compare with [default: the contrast's answer, or the runner-up].")
@click.option(
    "--baseline",
    type=click.Choice(BASELINES),
    default=None,
    help="What nodes are set to [default: contrast, or resample without one].",
)
@click.option(
    "--method",
    type=click.Choice(METHODS),
    default=METHODS[0],
    help="Rule for node effects; mask ranks the nodes by a learned mask, their effects are integrated gradients.",
)
@click.option("--ig-steps", type=click.IntRange(min=1), default=5, help="Points of the integrated-gradients path.")
@click.option(
    "--ig-rule", type=click.Choice(IG_RULES), default=IG_RULES[0], help="Where in each step of the path to look."
)
@click.option(
    "--ig-tolerance",
    type=FiniteFloat(1e-6, 1.0),
    default=None,
    help="Double a site's points until its effects miss its exact total by at most this share of it.",
)
@click.option("--basis", type=click.Choice(BASES), default="features", help="What the nodes are.")
@click.option("--chat", is_flag=True, help="Apply the tokenizer's chat template.")
@click.option(
    "--faithfulness",
    type=FiniteFloat(0.0, 1.0),
    default=None,
    help="Keep the fewest nodes that reach this share of the behaviour, at most 200 [default: 0.8].",
)
@click.option("--top-k", type=click.IntRange(min=1), default=None, help="Keep this many nodes.")
@click.option(
    "--node-threshold",
    type=FiniteFloat(0.0),
    default=None,
    help="Keep nodes with an effect of at least this many logits.",
)
@click.option(
    "--cumulative",
    type=FiniteFloat(0.0, 1.0),
    default=None,
    help="Keep the strongest nodes whose effects add up to this share of all.",
)
@click.option(
    "--edge-threshold",
    type=FiniteFloat(0.0),
    default=None,
    help="Keep edges with an effect above this many logits [default: 1 % of the metric's gap].",
)
@click.option("--nodes-only", is_flag=True, help="Skip the edges.")
@click.option("--dry-run", hidden=True, is_flag=True, callback=_refuse_later("--dry-run"), expose_value=False)
@model_options
@output_options
@json_option
def discover(out: Path | None, force: bool, as_json: bool, **options: Any) -> None:
    """Find the features that carry the model's next-token answer to a prompt.

    Writes circuit.json, circuit.safetensors, circuit.png and circuit.html.
    """
    if (options["prompt"] is None) == (options["pairs"] is None):
        raise click.UsageError("give either --prompt or --pairs")
    target_directory = out or default_output("discover")
    with output_directory(target_directory, force=force) as directory:
        from circuits.discovery import discover as discover_circuit
        from circuits.drawing.plot import draw_circuit
        from circuits.export.page import write_page

        circuit = discover_circuit(**options)
        circuit.save(directory)
        draw_circuit(circuit, directory / "circuit.png")
        write_page(circuit, directory / "circuit.html")
    if as_json:
        emit_json({**circuit.to_json(), "out": str(target_directory)})
        return
    _print_search(circuit.provenance.get("contrast_search"))
    print_circuit(circuit)
    click.echo(
        f"\nWritten to {target_directory}: circuit.html (open it), circuit.png, circuit.json, circuit.safetensors"
    )


def _print_search(search: dict[str, Any] | None) -> None:
    """What became of `--contrast auto`."""
    if search is None:
        return
    if search["contrast"] is None:
        click.echo("No contrast was found by replacing up to three tokens: compared with reference prompts instead.\n")
        return
    changes = ", ".join(f"{each['token']!r} by {each['replacement']!r}" for each in search["replaced"])
    click.echo(f"Contrast found by replacing {changes}: {search['contrast']}\n")
