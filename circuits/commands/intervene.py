"""`circuits intervene`: the answer with some nodes changed."""

from pathlib import Path
from typing import Any

import click

from sae.command_line import emit_json, json_option

__all__ = ["intervene"]

OPERATIONS = ("set", "scale", "ablate", "to_baseline")


@click.command(
    epilog="Example:  circuits intervene runs/first --ablate resid_post.2/117@12 --scale 'resid_post.3/8@*=2'"
)
@click.argument("circuit", type=click.Path(path_type=Path))
@click.option("--set", multiple=True, metavar="NODE=VALUE", help="Set a feature's activation.")
@click.option("--scale", multiple=True, metavar="NODE=FACTOR", help="Multiply a node.")
@click.option("--ablate", multiple=True, metavar="NODE", help="Set a node to zero.")
@click.option("--to-baseline", multiple=True, metavar="NODE", help="Set a node to the circuit's baseline.")
@click.option("--top-tokens", type=click.IntRange(min=1), default=5, help="Likeliest next tokens to show.")
@click.option("--device", default=None, help="Where the model runs [default: where the circuit was found].")
@json_option
def intervene(circuit: Path, top_tokens: int, device: str | None, as_json: bool, **wanted: tuple[str, ...]) -> None:
    """Run the prompt with named nodes changed and show what becomes of the answer.

    NODE is SITE/FEATURE@POSITION or SITE/error@POSITION, in the circuit or not; @* stands for all positions.
    """
    from circuits.graph.circuit import Circuit
    from circuits.verification.intervening import intervene as run
    from circuits.verification.interventions import parse_interventions

    chosen = [each for operation in OPERATIONS for each in parse_interventions(operation, wanted[operation])]
    loaded = Circuit.load(circuit)
    found = run(loaded, chosen, top_tokens=top_tokens, device=device)
    if not as_json:
        _print(loaded, found)
        return
    provenance = {key: loaded.provenance.get(key) for key in ("seed", "versions", "model", "saes")}
    config = {"circuit": str(circuit), **{name: list(nodes) for name, nodes in wanted.items()}}
    record = {"schema_version": 1, "command": "circuits intervene", "config": config, **provenance}
    emit_json({**record, "target": loaded.target, "foil": loaded.foil, **found.to_json()})


def _print(circuit: Any, found: Any) -> None:
    from rich.console import Console
    from rich.table import Table

    from circuits.drawing.summary import quoted, signed
    from sae.token_text import readable_token

    before, after = signed(found.metric_before), signed(found.metric_after)
    click.echo(f"{quoted(circuit.target)} against {quoted(circuit.foil)}: metric {before} before, {after} after")
    click.echo(f"KL divergence of the next token: {found.kl:.4f} nats\n")
    table = Table(box=None, pad_edge=False)
    for name in ("next token", "before", "after"):
        table.add_column(name, justify="left" if name == "next token" else "right")
    for token, old, new in found.tokens:
        table.add_row(readable_token(token), f"{old:.3f}", f"{new:.3f}")
    Console().print(table)
