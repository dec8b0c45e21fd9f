"""`steering sweep`: an edit over its strengths, effect against side effects, beside other methods."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from sae.command_line import Stopwatch, default_output, json_option, output_options
from sae.commands.report_file import hand_over
from steering.commands.options import dictionary_options, open_host, optional_numbers, record

__all__ = ["sweep"]

METHODS = ("difference of means", "probe", "prompt", "logit bias", "random direction", "random feature")
"""The names of `steering/sweep/building.py`, which imports torch; a test holds them together."""
EXAMPLE = "steering sweep --feature resid_post.3/735 --target tuberculosis"


def _methods(ctx: click.Context, param: click.Parameter, value: str) -> tuple[str, ...]:
    """A comma list of method names, `all` or `none`."""
    if value in ("all", "none"):
        return METHODS if value == "all" else ()
    names = tuple(" ".join(name.replace("_", " ").split()) for name in value.split(","))
    if unknown := [name for name in names if name not in METHODS]:
        raise click.BadParameter(f"{unknown[0]!r} is unknown, expected some of {', '.join(METHODS)}", ctx, param)
    return names


def _words(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[str, ...]:
    """A comma list of words."""
    return () if value is None else tuple(word.strip() for word in value.split(",") if word.strip())


@click.command(epilog=f"Example:  {EXAMPLE}")
@click.option("--feature", default=None, metavar="SITE/FEATURE", help="Add along this feature, in resid.")
@click.option(
    "--edit",
    default=None,
    metavar="EDIT",
    help="Or sweep this edit, as in `generate`, in its unit.",
)
@click.option("--target", required=True, help="The wanted answer: a word of one token.")
@click.option(
    "--strengths", callback=optional_numbers, default="0,0.1,0.2,0.4,0.8,1.2", help="Comma list, in the unit."
)
@click.option("--positions", default="last", help="Where it acts: all, prompt, generated or last.")
@click.option(
    "--prompts",
    type=click.Path(path_type=Path),
    default=None,
    help="Prompts that end where an answer is due, one a line [default: of the corpus that units are measured by].",
)
@click.option(
    "--examples",
    type=click.Path(path_type=Path),
    default=None,
    help="Other such prompts, for the difference of means and the probe [default: others of that corpus].",
)
@click.option(
    "--unrelated",
    multiple=True,
    metavar="CORPUS",
    help="SPEC of text to leave alone; several times for several [default: that corpus and the bundle's broad text].",
)
@click.option(
    "--methods", callback=_methods, default="all", help=f"Beside it: all, none, or some of {', '.join(METHODS)}."
)
@click.option("--hint", default="The answer is {target}.", help="What the method `prompt` puts before a prompt.")
@click.option(
    "--lexicon", callback=_words, default=None, help="Comma list of words to find in texts [default: the target]."
)
@click.option("--n-prompts", type=click.IntRange(min=4), default=48, help="Prompts; half of them choose the strength.")
@click.option("--n-examples", type=click.IntRange(min=4), default=500, help="Prompts to learn directions from.")
@click.option("--n-texts", type=click.IntRange(min=2), default=24, help="Unrelated texts of each corpus.")
@click.option("--max-new-tokens", type=click.IntRange(min=2), default=24, help="Of a continuation.")
@dictionary_options
@output_options
@json_option
def sweep(feature: str | None, edit: str | None, out: Path | None, force: bool, as_json: bool, **options: Any) -> None:
    """Sweep a feature's strength: how far it brings the model to a target, and what else that changes.

    Half of the prompts choose a strength, the others report. Other methods are compared with it where they change the
    next tokens of unrelated text as much, in KL from the plain model. --out gets sweep.json and sweep.png.
    """
    from steering.sweep.figure import draw_sweep
    from steering.sweep.sweeping import run_sweep
    from steering.sweep.table import sweep_table

    if (feature is None) == (edit is None):
        raise click.UsageError("give either --feature or --edit")
    target, watch = out or default_output("sweep"), Stopwatch()
    if target.exists() and not force:
        raise ValueError(f"output {str(target)!r} exists already; give another --out or add --force")
    with watch.stage("load"):
        steered = open_host(options)
        settings = _settings(feature, edit, options)
        steered.dictionaries.unit_sizes(settings.edit.target)
        prompts, examples = _prompts(steered, settings.edit, options)
        domains = _domains(steered, settings.edit, options["unrelated"])
    with watch.stage("sweep"):
        found = run_sweep(steered, settings, prompts=prompts, examples=examples, domains=domains)
    config = {"feature": feature, "edit": edit, **options}
    with watch.stage("intervals"):
        fields = found.to_json()
    fields = {**record("sweep", config, steered, watch.seconds), "out": str(target), **fields}
    hand_over(
        fields,
        target,
        lambda: sweep_table(fields),
        force=force,
        as_json=as_json,
        write=lambda directory: draw_sweep(fields, directory / "sweep.png"),
        file_name="sweep.json",
    )


def _settings(feature: str | None, edit: str | None, options: Mapping[str, Any]) -> Any:
    from steering.directions import Feature
    from steering.interventions import Intervention
    from steering.parsing import parse_edit
    from steering.sweep.settings import SweepSettings

    swept = (
        Intervention(Feature.parse(feature), "add", 0.0, "resid", options["positions"])
        if feature is not None
        else parse_edit(edit or "", positions=options["positions"])
    )
    names = ("target", "strengths", "methods", "hint", "lexicon", "n_prompts", "n_examples", "n_texts")
    chosen = {name: options[name] for name in (*names, "max_new_tokens", "seed")}
    return SweepSettings(swept, **chosen)


def _prompts(steered: Any, edit: Any, options: Mapping[str, Any]) -> tuple[Any, Any]:
    """Prompts to sweep over, and others to learn from; of a corpus two streams that do not meet."""
    from sae.prompt_files import read_prompts
    from steering.sweep.prompts import corpus_prompts

    def of(option: str, seed: int) -> Any:
        if (path := options[option]) is not None:
            return iter(read_prompts(path))
        return corpus_prompts(steered.dictionaries, edit.target.site, seed=seed, option=f"--{option}")

    learns = options["examples"] is not None or {"difference of means", "probe"} & set(options["methods"])
    return of("prompts", 2 * options["seed"]), of("examples", 2 * options["seed"] + 1) if learns else iter(())


def _domains(steered: Any, edit: Any, unrelated: Sequence[str]) -> dict[str, str]:
    from steering.sweep.unrelated_text import bundled_domains

    if unrelated:
        return {spec: spec for spec in unrelated}
    return bundled_domains(steered.dictionaries, edit.target.site)
