"""`steering generate`: prompts continued under edits, each sequence of a batch under its own."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from sae.command_line import Stopwatch, json_option
from steering.commands.options import (
    edit_options,
    open_host,
    optional_numbers,
    prompt_options,
    read_spec,
    steering_options,
)
from steering.commands.running import continue_prompts, keep_preset

__all__ = ["EXAMPLE", "generate"]

EXAMPLE = (
    'steering generate --prompt "We see an old man with night sweats. The most likely diagnosis is" '
    "--edit resid_post.3/735:add=1max_act@generated --strengths 0,0.5,1"
)


@click.command(epilog=f"Example:  {EXAMPLE}")
@click.option("--prompt", "prompts", multiple=True, required=True, help="What to continue; several times for several.")
@edit_options
@click.option("--strengths", callback=optional_numbers, help="Comma list: sweep the one edit.")
@click.option("--plain", is_flag=True, help="Continue each prompt without edits too, in the same batch.")
@prompt_options
@steering_options
@json_option
def generate(
    prompts: tuple[str, ...],
    edits: tuple[str, ...],
    positions: str,
    preset: Path | None,
    strengths: Sequence[float] | None,
    plain: bool,
    save_preset: Path | None,
    force: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Continue prompts while features are moved; a sweep of strengths is one batch.

    Every result says where edits acted, their strength in all four units, and how long the change was beside the
    stream, |change| / |x|, as measured.
    """
    if not edits and preset is None:
        raise click.UsageError("give --edit or --preset")
    watch = Stopwatch()
    with watch.stage("load"):
        steered = open_host(options)
        spec = read_spec(steered, edits, positions, preset)
        variants = _variants(spec, strengths, with_plain=plain)
    keep_preset(save_preset, steered, spec, force=force)
    asked: dict[str, Any] = {
        "prompts": prompts,
        "edits": edits,
        "positions": positions,
        "preset": preset,
        "strengths": strengths,
    }
    asked |= {"plain": plain, **options}
    continue_prompts("generate", steered, prompts, variants, options=asked, watch=watch, as_json=as_json)


def _variants(spec: Any, strengths: Sequence[float] | None, *, with_plain: bool) -> list[Any]:
    """The specs that each prompt is continued under."""
    swept = [spec] if strengths is None else list(spec.sweep(strengths))
    return [type(spec)(), *swept] if with_plain else swept
