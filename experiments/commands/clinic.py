"""`experiments clinic`: the bundled clinical model."""

from pathlib import Path
from typing import Any

import click

from sae.command_line import SCHEMA_VERSION, Program, emit_json, json_option

__all__ = ["clinic"]

KINDS = ("vignette", "qa", "broad")
SYNONYMS = ("seen", "unseen", "all")
COMBINATIONS = ("seen", "withheld", "all")


@click.group(cls=Program, epilog="Example:  experiments clinic check")
def clinic() -> None:
    """The bundled clinical model: build it, draw its test cases, check its bars."""


@clinic.command(epilog="Example:  experiments clinic build --work build/clinic --out build/bundle")
@click.option(
    "--work",
    type=click.Path(path_type=Path),
    required=True,
    help="Directory that keeps each finished stage; a build that was cut short continues there.",
)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Directory of the finished bundle.")
@click.option("--workers", type=click.IntRange(min=1), default=2, help="Processes that train SAEs side by side.")
@click.option("--seed", type=click.IntRange(min=0), default=0, help="Seed of everything random.")
@click.option("--force", is_flag=True, help="Replace an existing bundle.")
@json_option
def build(work: Path, out: Path, workers: int, seed: int, force: bool, as_json: bool) -> None:
    """Make the bundle from nothing: world, host, SAEs, labels; then measure its bars."""
    if out.exists() and not force:
        raise ValueError(f"output {str(out)!r} exists already; give another --out or add --force")
    import logging

    from experiments.clinic.build import build_bundle

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    _finish("experiments clinic build", build_bundle(work, out, workers=workers, seed=seed), as_json, seed)


@clinic.command(epilog="Example:  experiments clinic sample --kind vignette --n 3 --seed 1 --json")
@click.option("--kind", type=click.Choice(KINDS), default="vignette", help="What to draw.")
@click.option("--n", type=click.IntRange(min=1), default=5, help="How many cases.")
@click.option("--seed", type=click.IntRange(min=0), default=0, help="The same seed, the same cases.")
@click.option(
    "--synonyms",
    type=click.Choice(SYNONYMS),
    default="seen",
    help="Phrases for findings; unseen ones occur in training only in the glossary.",
)
@click.option(
    "--combinations",
    type=click.Choice(COMBINATIONS),
    default="seen",
    help="Pairs of findings that training cases never combine.",
)
@json_option
def sample(kind: str, n: int, seed: int, synonyms: str, combinations: str, as_json: bool) -> None:
    """Draw test cases with their answers, concepts, decisive findings and contrasts."""
    from experiments.clinic.case_sampling import sample_cases

    cases = sample_cases(_bundled_tokenizer(), kind, n, seed=seed, synonyms=synonyms, combinations=combinations)
    if as_json:
        emit_json(
            {"schema_version": SCHEMA_VERSION, "command": "experiments clinic sample", "seed": seed, "cases": cases}
        )
        return
    for case in cases:
        click.echo(f"{case['prompt']}  ->  {case['answer']}")
        if case["contrast"]:
            contrast = case["contrast"][0]
            click.echo(f"    decided by {', '.join(case['decisive'])}")
            click.echo(f"    contrast: {contrast['prompt']}  ->  {contrast['answer']}")


@clinic.command(epilog="Example:  experiments clinic check")
@click.option(
    "--bundle",
    type=click.Path(path_type=Path),
    default=None,
    help="Bundle directory [default: the one that is installed].",
)
@click.option("--quick", is_flag=True, help="A tenth of the cases: for a look, not for a verdict.")
@json_option
def check(bundle: Path | None, quick: bool, as_json: bool) -> None:
    """Measure the bundle on fresh test cases; exit code 1 when a figure is under its bar."""
    from circuits.prompts.references import BUNDLED_REFERENCES, ReferencePool
    from experiments.clinic.check import check_bundle
    from sae.bundle import Bundle, find_bundle
    from sae.host.host import HostModel

    found = Bundle(bundle.name, bundle) if bundle is not None else find_bundle("clinic")
    if found is None:
        raise ValueError("the bundled model 'clinic' is not installed; reinstall domain-circuits")
    found.check()
    references = ReferencePool.load(found.path / BUNDLED_REFERENCES)
    report = check_bundle(HostModel.load(str(found.host)), found.saes(), references, quick=quick)
    _finish("experiments clinic check", report, as_json, seed=0)


def _bundled_tokenizer() -> Any:
    from sae.bundle import find_bundle
    from sae.host.loading import load_tokenizer

    bundle = find_bundle("clinic")
    if bundle is None:
        raise ValueError("the bundled model 'clinic' is not installed; reinstall domain-circuits")
    return load_tokenizer(bundle.host)


def _finish(command: str, report: Any, as_json: bool, seed: int) -> None:
    """Print a check report and fail when a bar was missed."""
    from sae.command_line import versions

    if as_json:
        emit_json(
            {
                "schema_version": SCHEMA_VERSION,
                "command": command,
                "seed": seed,
                "versions": versions(),
                **report.to_json(),
            }
        )
    else:
        from rich.console import Console

        from experiments.clinic.check_table import render_report

        Console().print(render_report(report))
    if report.failed:
        raise SystemExit(1)
