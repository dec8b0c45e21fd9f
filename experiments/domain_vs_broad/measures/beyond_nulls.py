"""What features score beyond the nulls of that score: the only part of a score that says something of a dictionary."""

from collections.abc import Iterator
from dataclasses import dataclass

from experiments.domain_vs_broad.arms import DOMAIN, TRAINED_TITLES
from experiments.domain_vs_broad.measures.measured_host import MeasuredHost, RatioOf
from experiments.domain_vs_broad.measures.ratios import chance, localised, probed, rules
from experiments.report.contents import Row, Table
from sae.measurement import Measurement

__all__ = ["beyond_nulls_findings", "beyond_nulls_table"]


@dataclass(frozen=True)
class _Score:
    """A score, and the nulls that every dictionary has of its own."""

    title: str
    part: str
    ratio: RatioOf
    nulls: tuple[tuple[str, RatioOf], ...]


def _rule_score(scorer: str) -> _Score:
    """By balanced accuracy, of which not looking gets a half, where F1 grows with saying yes."""
    metric = "balanced_accuracy"
    nulls = (
        ("not looking", chance(scorer)),
        ("shuffled explanations", rules(scorer, f"shuffled_{metric}")),
        ("the topic alone", rules(scorer, f"topic_{metric}")),
        ("random directions", rules(scorer, metric, kind="random")),
    )
    return _Score(f"{scorer} balanced accuracy", "interpretability", rules(scorer, metric), nulls)


SCORES = (
    _rule_score("lexical"),
    _rule_score("ontology"),
    _Score(
        "localisation F1",
        "localisation",
        localised("f1"),
        (("random directions", localised("random_f1")), ("a single token", localised("token_f1"))),
    ),
    _Score(
        "pointing",
        "localisation",
        localised("pointing"),
        (("random directions", localised("random_pointing")), ("a single token", localised("token_pointing"))),
    ),
    _Score(
        "probing, k=1",
        "probing",
        probed("k=1"),
        (("shuffled labels", probed("k=1", labels="shuffled")), ("TF-IDF", probed("tfidf"))),
    ),
    _Score(
        "probing, k=20",
        "probing",
        probed("k=20"),
        (("TF-IDF", probed("tfidf")), ("a dense probe", probed("dense"))),
    ),
)


def beyond_nulls_table(measured: MeasuredHost) -> Table | None:
    """A row a null, a column an arm; None where nothing was measured that has such nulls."""
    arms = measured.matrix.profile.arms
    rows = [
        Row(title, {arm: cell for arm in arms if (cell := cells.get(arm)) is not None})
        for title, cells in _rows(measured, arms)
    ]
    if not rows:
        return None
    return Table(
        f"beyond_nulls_{measured.host}",
        f"Scores less their nulls, host {measured.host} adaptation",
        tuple(arms),
        tuple(rows),
        note="Above 0 is what a dictionary has beyond the null; all of these are differences from nulls, so that there "
        "is no column of them. In pairs of concepts or classes; features of explanations are each dictionary's own.",
    )


def beyond_nulls_findings(measured: MeasuredHost) -> Iterator[str]:
    """In a sentence, the nulls that the domain arm does not clearly exceed; their numbers are in the table."""
    every = [(title, cells[DOMAIN]) for title, cells in _rows(measured, (DOMAIN,)) if DOMAIN in cells]
    if not every:
        return
    matched = [(title, cell) for title, cell in every if cell.low is None or cell.low <= 0]
    listed = "; ".join(title for title, _ in matched)
    yield (
        f"Of {len(every)} nulls of scores of features, host {measured.host} adaptation, `{DOMAIN}` does not clearly "
        f"exceed {len(matched)}{': ' if listed else ''}{listed}."
    )


def _rows(measured: MeasuredHost, arms: tuple[str, ...]) -> Iterator[tuple[str, dict[str, Measurement]]]:
    for score in SCORES:
        own = {title: _less_own(measured, arms, score, null) for title, null in score.nulls}
        trained = {TRAINED_TITLES[name]: _less_trained(measured, arms, score, name) for name in TRAINED_TITLES}
        for title, cells in (own | trained).items():
            if any(cell.value is not None for cell in cells.values()):
                yield f"{score.title} less {title}", cells


def _less_own(measured: MeasuredHost, arms: tuple[str, ...], score: _Score, null: RatioOf) -> dict[str, Measurement]:
    return {
        arm: measured.less(arm, score.part, score.ratio, null, higher_is_better=True)
        for arm in arms
        if measured.part(arm, score.part)
    }


def _less_trained(measured: MeasuredHost, arms: tuple[str, ...], score: _Score, name: str) -> dict[str, Measurement]:
    return {
        arm: measured.less_arm(arm, name, score.part, score.ratio, higher_is_better=True)
        for arm in arms
        if measured.part(arm, score.part)
    }
