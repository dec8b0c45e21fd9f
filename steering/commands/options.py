"""What the commands of `steering` share. Nothing here imports torch."""

from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from pathlib import Path
from typing import Any

import click

from sae.command_line import SCHEMA_VERSION, FiniteFloat, host_options, versions
from sae.commands.options import numbers

__all__ = [
    "POSITIONS_HELP",
    "dictionary_options",
    "edit_options",
    "open_host",
    "optional_numbers",
    "prompt_options",
    "read_spec",
    "record",
    "sampling_of",
    "steering_options",
]

EDIT_HELP = (
    "SITE/FEATURE:OP[=VALUE[unit]][@POSITIONS] with OP add, clamp, min, max, scale, ablate or project and unit "
    "max_act, resid, sigma or raw; several times for several edits."
)
POSITIONS_HELP = "Where edits act that do not say: all, prompt, generated, last or span:NAME."
SAMPLING = ("max_new_tokens", "do_sample", "temperature", "top_k", "top_p", "seed")

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


def _stack(*options: Decorator) -> Decorator:
    return lambda command: reduce(lambda decorated, option: option(decorated), reversed(options), command)


def _named_spans(ctx: click.Context, param: click.Parameter, values: Sequence[str]) -> dict[str, str]:
    """`NAME=TEXT`, several times."""
    pairs = [value.partition("=") for value in values]
    if wrong := [value for value, (name, _, part) in zip(values, pairs, strict=True) if not name or not part]:
        raise click.BadParameter(f"{wrong[0]!r} is malformed, expected NAME=TEXT", ctx, param)
    return {name: part for name, _, part in pairs}


edit_options: Decorator = _stack(
    click.option("--edit", "edits", multiple=True, metavar="EDIT", help=EDIT_HELP),
    click.option("--positions", default="all", help=POSITIONS_HELP),
    click.option(
        "--preset",
        type=click.Path(path_type=Path),
        default=None,
        help="File with edits to begin with, or a preset of the bundled model, such as deny-chills.",
    ),
)

prompt_options: Decorator = _stack(
    click.option(
        "--span",
        "spans",
        multiple=True,
        callback=_named_spans,
        metavar="NAME=TEXT",
        help="Name a part of the prompt, for the positions span:NAME.",
    ),
    click.option("--chat", is_flag=True, help="Wrap prompts in the model's chat template."),
    click.option("--save-preset", type=click.Path(path_type=Path), default=None, help="Write the edits to a file."),
    click.option("--force", is_flag=True, help="Overwrite an existing preset."),
)

dictionary_options: Decorator = _stack(
    click.option("--saes", default=None, help="Directory of SAEs or sae-lens release [default: the model's]."),
    click.option(
        "--statistics", default=None, help="Corpus that units are measured by [default: what the SAE was trained on]."
    ),
    click.option("--statistics-tokens", type=click.IntRange(min=1), default=20_000, help="Tokens of it to look at."),
    host_options,
)

steering_options: Decorator = _stack(
    click.option("--max-new-tokens", type=click.IntRange(min=1), default=64, help="Most tokens to add."),
    click.option("--sample", "do_sample", is_flag=True, help="Draw tokens instead of taking the likeliest."),
    click.option("--temperature", type=FiniteFloat(low=0.0), default=1.0, help="Divides the logits before drawing."),
    click.option("--top-k", type=click.IntRange(min=0), default=0, help="Draw from this many tokens; 0 for all."),
    click.option(
        "--top-p", type=FiniteFloat(0.0, 1.0), default=1.0, help="Draw from tokens of this probability together."
    ),
    dictionary_options,
)


def open_host(options: Mapping[str, Any], *, model: Any = None, saes: Any = None) -> Any:
    """The model of `steering_options`, or the given one in its place, and so for its dictionaries."""
    from steering.steered_host import open_steered_host

    return open_steered_host(
        options["model"] if model is None else model,
        saes=options["saes"] if saes is None else saes,
        statistics=options["statistics"],
        n_tokens=options["statistics_tokens"],
        seed=options["seed"],
        device=options["device"],
        dtype=options["dtype"],
    )


def sampling_of(options: Mapping[str, Any]) -> dict[str, Any]:
    """How `steering_options` choose tokens."""
    return {name: options[name] for name in SAMPLING}


def read_spec(steered: Any, edits: Sequence[str], positions: str, preset: Path | None) -> Any:
    """The edits of `edit_options`, those of the preset first."""
    from steering.interventions import SteeringSpec
    from steering.parsing import parse_edit

    kept = () if preset is None else _preset(preset, steered)
    return SteeringSpec((*kept, *(parse_edit(edit, positions=positions) for edit in edits)))


def _preset(path: Path, steered: Any) -> tuple[Any, ...]:
    from steering.presets import load_preset

    return load_preset(path, steered).interventions


def optional_numbers(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[float, ...] | None:
    """A comma list of numbers, or nothing."""
    return None if value is None else numbers(ctx, param, value)


def record(command: str, options: Mapping[str, Any], steered: Any, seconds: Mapping[str, float]) -> dict[str, Any]:
    """What every JSON result carries, and what units of strength were measured by."""
    from steering.presets import recorded_saes

    known = steered.dictionaries.measured
    config = {name: str(value) if isinstance(value, Path) else value for name, value in options.items()}
    return {
        "schema_version": SCHEMA_VERSION,
        "command": f"steering {command}",
        "config": config,
        "seed": options["seed"],
        "versions": versions(),
        "model": {"name": steered.host.name, "path": str(steered.host.path)},
        "saes": recorded_saes(steered, list(steered.dictionaries.loaded)),
        "seconds": dict(seconds),
        "statistics": {
            str(site): {"source": None, "reason": found}
            if isinstance(found, str)
            else {"source": found.source, "reason": None}
            for site, found in known.items()
        },
    }
