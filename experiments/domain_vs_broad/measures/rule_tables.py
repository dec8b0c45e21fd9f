"""Tables of how well features are explained by rules of words or of concepts."""

import torch

from experiments.domain_vs_broad.arms import TRAINED_TITLES
from experiments.domain_vs_broad.measures.measured_host import MeasuredHost
from experiments.domain_vs_broad.measures.ratios import rules
from experiments.report.contents import Row, Table
from experiments.report.wording import number
from sae.measurement import Measurement

__all__ = ["f1_values", "rule_table"]

PART = "interpretability"
NULLS = {"shuffled explanations": "shuffled_f1", "topic alone": "topic_f1", "always yes": "always_yes"}
RANDOM = "random directions"
MEANING = {
    "lexical": "Explanations are up to a few words or phrases near which a feature fires",
    "ontology": "Explanations are the concept whose mentions a feature detects best, where one is significant",
}


def rule_table(measured: MeasuredHost, scorer: str) -> Table | None:
    """Scores of one kind of explanation for every arm; None where no feature of any arm has one."""
    rows = [
        _row(measured, arm, scorer) for arm in measured.matrix.profile.arms if f1_values(measured, arm, scorer, "f1")
    ]
    if not rows:
        return None
    settings = measured.matrix.profile.measured
    examples = "" if settings is None else f"{settings.examples} "
    return Table(
        f"{scorer}_{measured.host}",
        f"F1 of {scorer} explanations over features, host {measured.host} adaptation",
        ("F1", "quartiles", "balanced accuracy", "F1 at density", "always yes at density", "positives", "features"),
        tuple(rows),
        (*NULLS, RANDOM, *TRAINED_TITLES.values()),
        f"{MEANING[scorer]}; made on one half of the documents, scored on the other. A feature is tested on "
        f"{examples}active and as many inactive windows, and at density on all windows as they come; "
        "positives are the share of active windows in either. Features are drawn evenly over log density, the number "
        "of them with an explanation is beside how many were drawn. Nulls are F1 too: with the explanation of another "
        "feature that fires as often, with the words that most documents have, of calling every window active, of "
        "random directions that fire as often as the features, and of null arms. Intervals are over features and "
        "seeds.",
    )


def f1_values(measured: MeasuredHost, arm: str, scorer: str, metric: str, kind: str = "features") -> list[float]:
    """A score of every feature of all seeds, where there is one."""
    parts = measured.part(arm, PART)
    rows = [row for part in parts for row in part[kind].get("scorers", {}).get(scorer, [])]
    return [row[metric] for row in rows if row[metric] is not None]


def _row(measured: MeasuredHost, arm: str, scorer: str) -> Row:
    def of(metric: str, kind: str = "features") -> Measurement:
        return measured.of(arm, PART, rules(scorer, metric, kind=kind), higher_is_better=True)

    cells: dict[str, Measurement | str] = {
        "F1": of("f1"),
        "quartiles": _quartiles(f1_values(measured, arm, scorer, "f1")),
        "balanced accuracy": of("balanced_accuracy"),
        "F1 at density": of("f1_at_density"),
        "always yes at density": of("always_yes_at_density"),
        "positives": " and ".join(
            _mean(f1_values(measured, arm, scorer, name)) for name in ("positive_share", "positive_share_at_density")
        ),
        "features": _coverage(measured, arm, scorer),
    }
    nulls = {title: of(metric) for title, metric in NULLS.items()}
    nulls |= {RANDOM: of("f1", "random")}
    return Row(arm, cells, nulls | measured.trained_nulls(PART, rules(scorer, "f1"), higher_is_better=True))


def _coverage(measured: MeasuredHost, arm: str, scorer: str) -> str:
    drawn = sum(part["features"]["n_chosen"] for part in measured.part(arm, PART))
    return f"{len(f1_values(measured, arm, scorer, 'f1'))} of {drawn}"


def _quartiles(values: list[float]) -> str:
    shares = torch.tensor([0.25, 0.5, 0.75], dtype=torch.float64)
    return ", ".join(number(value) for value in torch.tensor(values, dtype=torch.float64).quantile(shares).tolist())


def _mean(values: list[float]) -> str:
    return number(sum(values) / len(values)) if values else "none"
