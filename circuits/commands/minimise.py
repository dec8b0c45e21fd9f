"""`circuits minimise`: the smallest circuit of a behaviour that keeps a wanted share of it."""

from pathlib import Path
from typing import Any

import click

from circuits.commands.printing import print_circuit
from sae.command_line import FiniteFloat, default_output, emit_json, json_option, output_directory, output_options

__all__ = ["minimise"]


@click.command(epilog="Example:  circuits minimise runs/first --faithfulness 0.8")
@click.argument("circuit", type=click.Path(path_type=Path))
@click.option("--faithfulness", type=FiniteFloat(0.0, 1.0), default=0.8, help="Share of the behaviour to keep, 0 to 1.")
@click.option("--nodes-only", is_flag=True, help="Skip the edges.")
@click.option("--model", default=None, help="Bundled name, directory or Hugging Face id [default: the circuit's].")
@click.option("--device", default=None, help="auto, cpu, cuda, cuda:1, mps [default: the circuit's].")
@click.option("--seed", type=click.IntRange(min=0), default=0, help="Seed of the bootstrap and of the random null.")
@output_options
@json_option
def minimise(circuit: Path, out: Path | None, force: bool, as_json: bool, **options: Any) -> None:
    """Drop nodes and edges of a circuit until none can go without losing the wanted faithfulness.

    The lower end of the faithfulness interval must stay above it, or the value where one contrast is all there is.
    Writes circuit.json, circuit.safetensors, circuit.png and circuit.html.
    """
    target_directory = out or default_output("minimise")
    with output_directory(target_directory, force=force) as directory:
        from circuits.drawing.plot import draw_circuit
        from circuits.export.page import write_page
        from circuits.minimal.minimising import minimise as minimise_circuit

        found = minimise_circuit(circuit, **options)
        found.save(directory)
        draw_circuit(found, directory / "circuit.png")
        write_page(found, directory / "circuit.html")
    if as_json:
        emit_json({**found.to_json(), "out": str(target_directory)})
        return
    print_circuit(found)
    click.echo(_sentence(found.provenance["minimised"]))
    click.echo(
        f"\nWritten to {target_directory}: circuit.html (open it), circuit.png, circuit.json, circuit.safetensors"
    )


def _sentence(facts: dict[str, Any]) -> str:
    judged = {"interval": "the lower end of its interval is", "value": "its value is (one contrast, no interval)"}
    text = (
        f"\n{facts['nodes']} features keep more than {facts['wanted']:g}; the circuit had {facts['from_circuit']}, "
        f"elimination began with {facts['from_nodes']}; {judged[facts['judged_by']]} what was held to it, "
        "on the prompts that nodes were chosen by"
    )
    if "edges" not in facts:
        return text
    if not facts["edges_keep_enough"]:
        return f"{text}\nall {facts['from_edges']} edges among them do not keep as much: all are kept"
    return f"{text}\n{facts['edges']} of {facts['from_edges']} edges among them keep more than {facts['wanted']:g} too"
