"""`sae interpret`: what features stand for, and how well that can be told, beside nulls."""

from pathlib import Path
from typing import Any

import click

from sae.command_line import (
    Stopwatch,
    default_output,
    emit_json,
    host_options,
    json_option,
    output_directory,
    output_options,
)
from sae.commands.judge_options import judge_options, opened_judge
from sae.commands.options import CORPUS_HELP, result

__all__ = ["interpret"]

EXAMPLE = "sae interpret sae/bundles/clinic/clinical/resid_post.2 --features 20 --tokens 60000"
SCORERS = "lexical,ontology,embedding,embedding_intruder,sensitivity,detection,fuzzing,intruder"
WIDTH = 112
"""Columns where the output is no terminal."""
RECORD, TABLE = "interpretation.json", "features.tsv"
ANSWERS, SECOND_ANSWERS = "judgements.jsonl", "second_judgements.jsonl"


@click.command(epilog=f"Example:  {EXAMPLE}")
@click.argument("path", metavar="SAE", type=click.Path(path_type=Path))
@click.option("--corpus", default=None, help=f"{CORPUS_HELP}  [default: what the SAE was trained on]")
@click.option("--tokens", type=click.IntRange(min=1), default=200_000, help="Tokens of the corpus to encode.")
@click.option("--features", default="60", help="How many, drawn evenly over log density; or ids: 12,17 (or 12,).")
@click.option(
    "--explainer",
    type=click.Choice(("lexical", "ontology", "labels")),
    default="lexical",
    help="Whose explanations the judge sees and sensitivity is told of.",
)
@click.option("--scorers", default=SCORERS, help="Comma list.")
@click.option(
    "--ontology", type=click.Path(path_type=Path), default=None, help="TSV of concepts [default: the corpus']."
)
@click.option("--examples", type=click.IntRange(min=10), default=40, help="Active windows that test a feature; tens.")
@click.option("--window", type=click.IntRange(min=2), default=32, help="Most tokens of a window.")
@judge_options
@click.option("--random-null/--no-random-null", default=True, help="Score random directions of equal density too.")
@click.option("--dry-run", is_flag=True, help="Say what the judge would cost, and ask nothing.")
@output_options
@host_options
@json_option
def interpret(path: Path, out: Path | None, force: bool, as_json: bool, **options: Any) -> None:
    """Explain features on some documents and score the explanations on others.

    Scores are beside those of explanations of other features, of the topic alone, and of answering without looking.
    """
    from sae.interpretation.interpret import interpret as run
    from sae.interpretation.second_judge import ask_second

    watch = Stopwatch()
    work = _Work(path, options, watch)
    if options["dry_run"]:
        _show_costs(work, as_json)
        return
    with work.judge(options["judge"]) as judge:
        with watch.stage("score"):
            found = run(work.material, work.plan, work.settings, judge)
        if options["random_null"]:
            with watch.stage("random_null"):
                found = work.with_random_null(found, judge)
    second = None
    if options["second_judge"]:
        with watch.stage("second_judge"), work.judge(options["second_judge"]) as other:
            second = ask_second(found, other, seed=options["seed"])
    target = out or default_output("sae-interpret")
    fields = work.record(found, judge) | {"second_judge": second and second.to_json(), "out": str(target)}
    record = result("interpret", {"path": path, **options}, **fields, seconds=watch.seconds)
    _write(record, found, judge, second, target, force)
    if as_json:
        emit_json(record)
        return
    from rich.console import Console, Group

    from sae.interpretation.judge_tables import render_judge
    from sae.interpretation.terminal_table import render_interpretation

    console = Console()
    console.width = max(console.width, 0 if console.is_terminal else WIDTH)
    console.print(Group(render_interpretation(found, judge.name), render_judge(found, judge.name, second)))
    click.echo(f"{target}", err=True)


class _Work:
    """The loaded model and dictionary, the encoded text, and the plan."""

    def __init__(self, path: Path, options: dict[str, Any], watch: Stopwatch) -> None:
        from sae.corpora import parse_corpus
        from sae.dictionary.autoencoder import SAE
        from sae.dictionary.host_record import check_recorded_host
        from sae.dictionary.labels import load_labels
        from sae.host.host import HostModel
        from sae.inspection.sources import recorded_corpus
        from sae.interpretation.interpret import Settings, plan_interpretation
        from sae.interpretation.judges.privacy import check_privacy
        from sae.interpretation.ontology import read_ontology

        self.options = options
        self.settings = Settings(
            explainer=options["explainer"],
            scorers=tuple(part.strip() for part in options["scorers"].split(",") if part.strip()),
            n_positives=options["examples"],
            max_tokens=options["max_tokens"],
            top_logprobs=20 if options["logprobs"] else 0,
            both_orders=options["both_orders"],
            seed=options["seed"],
        )
        self.ontology = None if options["ontology"] is None else read_ontology(options["ontology"])
        with watch.stage("load"):
            sae = SAE.load(path)
            corpus = options["corpus"] or recorded_corpus(sae)
            if corpus is None:
                raise ValueError(f"{path} does not say what it was trained on; give --corpus")
            parse_corpus(corpus)
            for judge in filter(None, (options["judge"], options["second_judge"])):
                check_privacy(judge, corpus)
            self.host = HostModel.load(options["model"], device=options["device"], dtype=options["dtype"])
            check_recorded_host(sae.metadata, self.host, source=str(path))
        self.sae = sae.to(self.host.device)
        self.corpus = corpus
        with watch.stage("encode"):
            self.material = self._gather(self.sae)
        with watch.stage("explain"):
            labels = load_labels(path, min_f1=0.0)
            self.plan = plan_interpretation(
                self.material,
                self.sae,
                self._features(),
                self.settings,
                labels=labels,
                calibrate=options["calibrate"],
            )

    def _gather(self, sae: Any) -> Any:
        """All text, encoded by a dictionary."""
        from sae.interpretation.material import gather_material

        options = self.options
        return gather_material(
            self.host,
            sae,
            self.corpus,
            n_tokens=options["tokens"],
            width=options["window"],
            ontology=self.ontology,
            seed=options["seed"],
        )

    def with_random_null(self, found: Any, judge: Any) -> Any:
        """The scores with those of random directions beside them; of a judge that must be paid, the free ones."""
        from dataclasses import replace

        from sae.corpora import read_corpus
        from sae.interpretation.free_scores import FREE_SCORERS
        from sae.interpretation.random_null import random_counterpart, site_sample, with_random_null
        from sae.interpretation.roles import Role

        is_free = judge.name.startswith("scripted:") and not judge.name.endswith("oracle")
        scorers = tuple(each for each in self.settings.scorers if is_free or each in FREE_SCORERS)
        if not scorers:
            return found
        explainer = "lexical" if self.settings.explainer == "labels" else self.settings.explainer
        settings = replace(self.settings, scorers=scorers, explainer=explainer)
        x = site_sample(self.host, self.sae, read_corpus(self.corpus, seed=self.options["seed"]))
        density = self.material.text.density(Role.EXPLAIN, Role.SCORE)
        dictionary = random_counterpart(self.sae.to("cpu"), density, x, seed=self.options["seed"]).to(self.host.device)
        rows = with_random_null(found.rows, dictionary, self.plan.features, settings, judge, self._gather)
        return replace(found, rows=tuple(rows))

    def _features(self) -> list[int]:
        """The ids that were given, or as many as were asked for."""
        from sae.inspection.sources import check_features
        from sae.interpretation.feature_choice import choose_features
        from sae.interpretation.roles import Role

        wanted = self.options["features"]
        try:
            numbers = [int(part) for part in wanted.split(",") if part.strip()]
        except ValueError:
            raise ValueError(f"features are {wanted!r}, expected a number or a comma list of ids") from None
        if "," in wanted:
            check_features(self.sae, numbers)
            return sorted(set(numbers))
        if not numbers or numbers[0] < 1:
            raise ValueError(f"features are {wanted!r}, expected at least 1")
        text = self.material.text
        is_eligible = text.document_counts(Role.EXPLAIN) >= self.settings.n_explain
        return choose_features(text.density(Role.EXPLAIN), is_eligible, numbers[0], seed=self.options["seed"])

    def judge(self, spec: str) -> Any:
        """A context in which the judge is open."""
        return opened_judge(spec, self.options, self.plan.truths, host=self.host)

    def record(self, found: Any, judge: Any) -> dict[str, Any]:
        """All that is written down."""
        from sae.interpretation.record import to_record
        from sae.restricted_text import restriction

        sae = {"path": str(self.sae.path), "site": str(self.sae.site), "sha256": self.sae.content_hash}
        model = {"name": self.host.name, "path": str(self.host.path)}
        return {
            "model": model,
            "saes": [sae],
            "judge": judge.name,
            "restricted": restriction(self.corpus) is not None,
            **to_record(found, self.material, self.settings),
        }


def _show_costs(work: _Work, as_json: bool) -> None:
    """What each judge would cost; the first one's under `cost`."""
    from dataclasses import asdict

    options = work.options
    specs = [each for each in (options["judge"], options["second_judge"]) if each]
    costs = [_cost(work, spec) for spec in specs]
    if as_json:
        (name, cost), *others = costs
        second = [asdict(each) for _, each in others]
        fields = {"judge": name, "cost": asdict(cost), "second_cost": second[0] if second else None}
        emit_json(result("interpret", options, **fields))
        return
    for name, cost in costs:
        price = "" if cost.price is None else f", price {cost.price:.4g}"
        click.echo(
            f"{cost.n_requests} questions to {name}, {cost.n_known} answered already; "
            f"{cost.input_tokens} input and at most {cost.output_tokens} output tokens are left{price}"
        )


def _cost(work: _Work, spec: str) -> tuple[str, Any]:
    """The judge's name and what asking it would cost."""
    from sae.interpretation.judges.cost import estimate_cost

    with work.judge(spec) as judge:
        cost = estimate_cost(
            work.plan.requests,
            judge.model,
            lambda text: len(work.host.tokenizer(text, add_special_tokens=False)["input_ids"]),
            known=getattr(judge, "known", None),
            price_in=work.options["price_in"],
            price_out=work.options["price_out"],
        )
    return judge.name, cost


def _write(record: dict[str, Any], found: Any, judge: Any, second: Any, target: Path, force: bool) -> None:
    """The record, the table of features, and what the judges said."""
    import json

    from sae.interpretation.judges.cache import write_answers
    from sae.interpretation.record import feature_table
    from sae.written_whole import written_whole

    with output_directory(target, force=force) as directory:
        with written_whole(directory / RECORD) as part:
            part.write_text(json.dumps(record, allow_nan=False, indent=1), encoding="utf-8")
        with written_whole(directory / TABLE) as part:
            part.write_text(feature_table(found), encoding="utf-8")
        for name, model, verdicts in (
            (ANSWERS, judge.model, found.verdicts),
            *([(SECOND_ANSWERS, second.model, second.verdicts)] if second else []),
        ):
            pairs = (pair for each in verdicts for pair in zip(each.requests, each.results, strict=True))
            write_answers(directory / name, model, pairs)
