"""`circuits discover`: from a prompt to its circuit."""

import shutil
from dataclasses import fields
from pathlib import Path
from typing import Any

import click

from circuits.commands.circuit_directory import CIRCUIT_FILES, write_circuit_directory
from circuits.commands.printing import print_circuit
from sae.command_line import (
    SCHEMA_VERSION,
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
@click.option("--exact-edges", is_flag=True, help="Measure every edge besides, by a run of the layers between.")
@click.option("--resume", is_flag=True, help="Go on with pairs that an interrupted run with the same --out has scored.")
@click.option("--dry-run", is_flag=True, help="Say what it would cost in passes, time and memory, and stop.")
@model_options
@output_options
@json_option
def discover(out: Path | None, force: bool, as_json: bool, resume: bool, dry_run: bool, **options: Any) -> None:
    """Find the features that carry the model's next-token answer to a prompt.

    Writes circuit.json, circuit.safetensors, circuit.png and circuit.html.
    """
    if (options["prompt"] is None) == (options["pairs"] is None):
        raise click.UsageError("give either --prompt or --pairs")
    if dry_run:
        _print_estimate(_estimate(options), as_json)
        return
    target_directory = out or default_output("discover")
    stages = target_directory.with_name(f"{target_directory.name}.stages")
    if not resume:
        shutil.rmtree(stages, ignore_errors=True)
    with output_directory(target_directory, force=force) as directory:
        from circuits.discovery import discover as discover_circuit

        circuit = discover_circuit(**options, stages=stages if options["pairs"] else None)
        write_circuit_directory(circuit, directory)
    shutil.rmtree(stages, ignore_errors=True)
    if as_json:
        emit_json({**circuit.to_json(), "out": str(target_directory)})
        return
    _print_search(circuit.provenance.get("contrast_search"))
    print_circuit(circuit)
    click.echo(f"\nWritten to {target_directory}: {CIRCUIT_FILES}")


def _print_search(search: dict[str, Any] | None) -> None:
    """What became of `--contrast auto`."""
    if search is None:
        return
    if search["contrast"] is None:
        click.echo("No contrast was found by replacing up to three tokens: compared with reference prompts instead.\n")
        return
    changes = ", ".join(f"{each['token']!r} by {each['replacement']!r}" for each in search["replaced"])
    click.echo(f"Contrast found by replacing {changes}: {search['contrast']}\n")


def _estimate(options: dict[str, Any]) -> Any:
    """The cost of the discovery that the options ask for."""
    from circuits.dry_run import estimate_cost
    from circuits.found_contrast import with_found_contrast
    from circuits.question import Question
    from circuits.settings import DiscoverySettings
    from circuits.workbench import open_workbench

    model = {name: options.pop(name) for name in ("model", "saes", "sites", "device", "dtype")}
    question = Question(**{field.name: options.pop(field.name) for field in fields(Question)})
    settings = DiscoverySettings(**options)
    bench = open_workbench(**model, basis=settings.basis)
    question, _ = with_found_contrast(question, bench)
    return estimate_cost(question, settings, bench)


def _print_estimate(estimate: Any, as_json: bool) -> None:
    if as_json:
        emit_json({"schema_version": SCHEMA_VERSION, "command": "circuits discover", **estimate.to_json()})
        return
    click.echo(
        f"{estimate.prompts} prompts of {estimate.tokens_per_prompt} tokens, {estimate.references} references each"
    )
    for name, rows in (("forward", estimate.forward_rows), ("forward and backward", estimate.backward_rows)):
        stages = ", ".join(f"{stage} {n:,}" for stage, n in rows.items() if n)
        click.echo(f"prompts run {name}: {sum(rows.values()):,} ({stages})")
    click.echo(f"about {estimate.seconds:.1f} s without loading, {estimate.memory_bytes / 2**30:.2f} GiB of memory")
