"""`steering from-circuit`: the features of a found circuit, moved while prompts are continued."""

from pathlib import Path
from typing import Any

import click

from sae.command_line import Stopwatch, json_option
from steering.commands.options import POSITIONS_HELP, open_host, prompt_options, steering_options
from steering.commands.running import continue_prompts, keep_preset

__all__ = ["from_circuit"]


@click.command(
    "from-circuit", epilog="Example:  steering from-circuit runs/first --top 5 --do scale=0 --positions last"
)
@click.argument("circuit", type=click.Path(path_type=Path))
@click.option("--top", type=click.IntRange(min=1), default=5, help="How many features to move.")
@click.option("--opposing", is_flag=True, help="Those that oppose the circuit's target most, not that support it.")
@click.option("--do", "operation", default="ablate", metavar="OP[=VALUE[unit]]", help="What to do with each of them.")
@click.option("--positions", default="all", help=POSITIONS_HELP)
@click.option("--prompt", "prompts", multiple=True, help="What to continue [default: the circuit's prompt].")
@prompt_options
@steering_options
@json_option
@click.pass_context
def from_circuit(
    ctx: click.Context,
    circuit: Path,
    top: int,
    opposing: bool,
    operation: str,
    positions: str,
    prompts: tuple[str, ...],
    save_preset: Path | None,
    force: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Steer along the features of a circuit, as `circuits discover` wrote it, beside the same prompt left alone.

    Moved are the features with the largest contribution, summed over the circuit's positions.
    """
    from sae.host.host import HostModel
    from steering.circuit_features import read_circuit_features
    from steering.interventions import SteeringSpec
    from steering.parsing import parse_edit

    found = read_circuit_features(circuit)
    texts = prompts or ((found.prompt,) if found.prompt is not None else ())
    if not texts:
        raise click.UsageError("the circuit was found on pairs of prompts; give --prompt")
    features = found.strongest(top, supporting=not opposing)
    edits = [parse_edit(f"{feature.name}:{operation}", positions=positions) for feature in features]
    spec = SteeringSpec(tuple(edits))
    watch = Stopwatch()
    with watch.stage("load"):
        is_given = ctx.get_parameter_source("model") is not click.core.ParameterSource.DEFAULT
        name = options["model"] if is_given else found.model
        host = HostModel.load(name, device=options["device"], dtype=options["dtype"])
        saes = None if options["saes"] else found.load_saes(host, features)
        steered = open_host(options, model=host, saes=saes)
    keep_preset(save_preset, steered, spec, force=force)
    asked: dict[str, Any] = {
        "circuit": circuit,
        "top": top,
        "opposing": opposing,
        "do": operation,
        "positions": positions,
    }
    asked |= {"prompts": texts, **options, "model": name}
    continue_prompts(
        "from-circuit",
        steered,
        texts,
        [SteeringSpec(), spec],
        options=asked,
        watch=watch,
        as_json=as_json,
        target=found.target,
        foil=found.foil,
    )
