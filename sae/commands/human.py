"""`sae human`: a blinded rating page for people, and what their answers say."""

from pathlib import Path
from typing import Any

import click

from sae.command_line import (
    Program,
    default_output,
    emit_json,
    host_options,
    json_option,
    output_directory,
    output_options,
)
from sae.commands.options import CORPUS_HELP, result
from sae.commands.report_file import hand_over

__all__ = ["human"]

BUNDLED = "sae/bundles/clinic"
EXAMPLE = f"sae human export {BUNDLED}/clinical/resid_post.2 {BUNDLED}/broad/resid_post.2 --corpus clinic:clinical"


@click.group(cls=Program, epilog=f"Example:  {EXAMPLE}")
def human() -> None:
    """Let people rate features: hand a blinded page out, read their answers back in."""


@human.command(epilog=f"Example:  {EXAMPLE}")
@click.argument("paths", metavar="SAE...", type=click.Path(path_type=Path), nargs=-1, required=True)
@click.option("--corpus", required=True, help=CORPUS_HELP)
@click.option("--features", type=click.IntRange(min=4), default=12, help="Features of each SAE.")
@click.option("--tokens", type=click.IntRange(min=1), default=100_000, help="Tokens to look for contexts in.")
@output_options
@host_options
@json_option
def export(paths: tuple[Path, ...], out: Path | None, force: bool, as_json: bool, **options: Any) -> None:
    """Write one offline page for raters, and the key, which stays with you."""
    from sae.human.exporting import KEY, PAGE, write_kit

    kit = _kit(paths, options)
    target = out or default_output("sae-human-export")
    with output_directory(target, force=force) as directory:
        write_kit(kit, directory)
    page, key = target / PAGE, target / KEY
    if as_json:
        fields = {"page": str(page), "key": str(key), "n_items": len(kit.items), "arms": list(kit.arms)}
        emit_json(result("human export", {"paths": [str(path) for path in paths], **options}, **fields))
        return
    click.echo(f"{page}: {len(kit.items)} questions; give this file to at least three raters")
    click.echo(f"{key}: keep this file; it says what is what")


@human.command(name="import", epilog="Example:  sae human import kit/key.json answers-a.json answers-b.json")
@click.argument("key", metavar="KEY", type=click.Path(path_type=Path))
@click.argument("answers", metavar="ANSWERS...", type=click.Path(path_type=Path), nargs=-1)
@click.option("--seed", type=click.IntRange(min=0), default=0, help="Seed of everything random.")
@output_options
@json_option
def import_answers(
    key: Path, answers: tuple[Path, ...], seed: int, out: Path | None, force: bool, as_json: bool
) -> None:
    """Say what raters said: agreement, accuracy against chance, arms side by side."""
    from sae.human.answers import read_answers, read_key
    from sae.human.importing import evaluate_answers

    known = read_key(key)
    found = evaluate_answers(known, read_answers(answers, known), seed=seed)
    options = {"key": key, "answers": [str(path) for path in answers], "seed": seed}
    fields = result("human import", options, **found.to_json())
    target = out or default_output("sae-human-import")

    def render() -> Any:
        from sae.human.terminal_view import render_human_evaluation

        return render_human_evaluation(found)

    hand_over(fields, target, render, force=force, as_json=as_json)


def _kit(paths: tuple[Path, ...], options: dict[str, Any]) -> Any:
    from sae.commands.host_and_sae import load_host_and_sae
    from sae.corpora import read_corpus
    from sae.dictionary.labels import load_labels
    from sae.human.arms import Arm
    from sae.human.exporting import build_kit

    arms = []
    for path in paths:
        host, sae = load_host_and_sae(path, options)
        labels = load_labels(path)
        explanations = {feature: label.text for feature, label in labels.items()}
        scores = {feature: label.f1 for feature, label in load_labels(path, min_f1=0.0).items()}
        arms.append(Arm(str(path), sae, explanations=explanations, scores=scores))
    corpus, seed = options["corpus"], options["seed"]
    return build_kit(
        host,
        arms,
        lambda: read_corpus(corpus, seed=seed),
        corpus=corpus,
        n_features=options["features"],
        n_tokens=options["tokens"],
        seed=seed,
    )
