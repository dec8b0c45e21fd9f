"""`circuits minimise`: the smallest circuit of a behaviour that keeps a wanted share of it."""

from pathlib import Path
from typing import Any

import click

from circuits.commands.circuit_directory import CIRCUIT_FILES, changed_circuit_directory, write_circuit_directory
from circuits.commands.printing import print_circuit
from sae.command_line import FiniteFloat, emit_json, json_option, output_options

__all__ = ["minimise"]


@click.command(epilog="Example:  circuits minimise runs/first --faithfulness 0.8")
@click.argument("circuit", type=click.Path(path_type=Path))
@click.option("--faithfulness", type=FiniteFloat(0.0, 1.0), default=0.8, help="Share of the behaviour to keep, 0 to 1.")
@click.option("--nodes-only", is_flag=True, help="Skip the edges.")
@click.option("--model", default=None, help="Bundled name, directory or Hugging Face id [default: the circuit's].")
@click.option("--device", default=None, help="auto, cpu, cuda, cuda:1, mps [default: the circuit's].")
@click.option("--seed", type=click.IntRange(min=0), default=0, help="Seed of the interval and of the null.")
@output_options
@json_option
def minimise(circuit: Path, out: Path | None, force: bool, as_json: bool, **options: Any) -> None:
    """Drop nodes and edges of a circuit as long as its faithfulness surely stays above a share.

    What stays above it is the lower end of the interval, or the value where one contrast is all there is. The smaller
    circuit is saved: to --out, or with --force alone in the place of the other.
    """
    with changed_circuit_directory(circuit, "minimise", out=out, force=force) as (directory, final):
        from circuits.verification.minimising import minimise as minimise_circuit

        found = minimise_circuit(circuit, **options)
        write_circuit_directory(found, directory)
    if as_json:
        emit_json({**found.to_json(), "out": str(final)})
        return
    print_circuit(found)
    click.echo(f"\n{_sentence(found.provenance['minimised'])}")
    click.echo(f"Written to {final}: {CIRCUIT_FILES}")


def _sentence(facts: dict[str, Any]) -> str:
    judged = {"interval": "the lower end of its interval is", "value": "its value is (one contrast, no interval)"}
    text = (
        f"{facts['nodes']} features keep more than {facts['wanted']:g}; the circuit had {facts['from_circuit']}, "
        f"elimination began with {facts['from_nodes']}; {judged[facts['judged_by']]} what was held to it, "
        "on the prompts that nodes were chosen by"
    )
    if "edges" not in facts:
        return text
    if not facts["edges_keep_enough"]:
        kept = facts["kept_with_edges"]
        return f"{text}\nall {facts['from_edges']} edges among them do not keep as much ({kept:.3f}): all are kept"
    return f"{text}\n{facts['edges']} of {facts['from_edges']} edges among them keep more than {facts['wanted']:g} too"
