"""`circuits intervene`: the answer with some nodes changed."""

from pathlib import Path
from typing import Any

import click

from sae.command_line import SCHEMA_VERSION, emit_json, json_option, versions

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
@click.option("--model", default=None, help="Bundled name, directory or Hugging Face id [default: the circuit's].")
@click.option("--device", default=None, help="auto, cpu, cuda, cuda:1, mps [default: the circuit's].")
@click.option("--seed", type=click.IntRange(min=0), default=0, help="Seed of the interval and of the null.")
@json_option
def intervene(
    circuit: Path,
    top_tokens: int,
    model: str | None,
    device: str | None,
    seed: int,
    as_json: bool,
    **wanted: tuple[str, ...],
) -> None:
    """Run the prompt with named nodes changed and show what becomes of the answer.

    NODE is SITE/FEATURE@POSITION or SITE/error@POSITION, in the circuit or not; @* stands for all positions.
    """
    from circuits.graph.circuit import Circuit
    from circuits.verification.intervening import intervene as run
    from circuits.verification.interventions import parse_interventions

    chosen = [each for operation in OPERATIONS for each in parse_interventions(operation, wanted[operation])]
    loaded = Circuit.load(circuit)
    found = run(loaded, chosen, top_tokens=top_tokens, seed=seed, model=model, device=device)
    if not as_json:
        _print(loaded, found)
        return
    config = {
        "circuit": str(circuit),
        "top_tokens": top_tokens,
        **{name: list(nodes) for name, nodes in wanted.items()},
    }
    record = {"schema_version": SCHEMA_VERSION, "command": "circuits intervene", "config": config, "seed": seed}
    record |= {"versions": versions(), **{key: loaded.provenance.get(key) for key in ("model", "saes")}}
    emit_json({**record, "target": loaded.target, "foil": loaded.foil, **found.to_json()})


def _print(circuit: Any, found: Any) -> None:
    from rich.console import Console
    from rich.table import Table

    from circuits.drawing.summary import quoted, signed
    from sae.token_text import readable_token

    before, after = signed(found.metric_before), signed(found.metric_after)
    click.echo(f"{quoted(circuit.target)} against {quoted(circuit.foil)}: metric {before} before, {after} after")
    click.echo(_change(found))
    click.echo(f"KL divergence of the next token: {found.kl:.4f} nats\n")
    table = Table(box=None, pad_edge=False)
    for name in ("next token", "before", "after"):
        table.add_column(name, justify="left" if name == "next token" else "right")
    for token, old, new in found.tokens:
        table.add_row(readable_token(token), f"{old:.3f}", f"{new:.3f}")
    Console().print(table)


def _change(found: Any) -> str:
    from circuits.drawing.summary import signed

    change = signed(found.metric_after - found.metric_before)
    interval = "no interval: a single run" if found.interval is None else " to ".join(map(signed, found.interval))
    null = "none: no other feature is active there" if found.null is None else signed(found.null).removeprefix("+")
    return f"change {change} ({interval}); null, the size of the same done to random active features: {null}"
