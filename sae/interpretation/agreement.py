"""Whether judges agree: with each other by their answers, and by how they rank features with scores that need none."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy.stats import rankdata
from statsmodels.stats.inter_rater import cohens_kappa

from sae.human.agreement import item_bootstrap
from sae.interpretation.free_scores import FREE_SCORERS
from sae.interpretation.judged_scores import JUDGED_SCORERS, Task
from sae.interpretation.judges.answers import Verdict
from sae.interpretation.scored import EXPLAINED, SHUFFLED, ScoreTable
from sae.interpretation.summary import metric_names
from sae.measurement import Measurement

__all__ = ["Agreement", "kappa_of_judges", "rank_agreement"]

FEWEST_FEATURES = 5
"""With fewer a rank correlation says nothing."""


@dataclass(frozen=True)
class Agreement:
    """How alike two scores rank the features.

    Attributes:
        judged: Name of the score that needs a judge.
        free: Name of the one that needs none.
        correlation: Spearman's, over the features that have both; interval over features.
        shuffled: The same when the judge saw explanations of other features: the null.
    """

    judged: str
    free: str
    correlation: Measurement
    shuffled: Measurement

    def to_json(self) -> dict[str, Any]:
        """The fields by name."""
        return asdict(self)


def kappa_of_judges(
    tasks: Sequence[Task], first: Sequence[Verdict], second: Sequence[Verdict], *, seed: int = 0
) -> dict[str, Measurement]:
    """Cohen's kappa of two judges by scorer: 1 is full agreement, 0 that of chance (Cohen 1960).

    Args:
        tasks: What both were asked; the questions with the features' own explanations count.
        first: The verdicts of the one, one for each order of each question.
        second: Those of the other.
        seed: Of the resampled features; answers about one feature are drawn together.

    Returns:
        Without a value where all answers are alike, or none is answered by both.
    """
    tables: dict[str, list[np.ndarray]] = {}
    start = 0
    for task in tasks:
        asked = [each for question in task.questions for each in question.orders]
        end = start + len(asked)
        if task.condition == EXPLAINED and asked:
            table = _contingency(sorted(asked[0].request.choices), first[start:end], second[start:end])
            tables.setdefault(task.scorer, []).append(table)
        start = end
    reason = "all answers are alike, or none is answered by both"
    return {scorer: item_bootstrap(_kappa, np.stack(own), seed=seed, reason=reason) for scorer, own in tables.items()}


def _contingency(choices: Sequence[str], first: Sequence[Verdict], second: Sequence[Verdict]) -> np.ndarray:
    """How often the first says the row's and the second the column's choice."""
    table = np.zeros((len(choices), len(choices)))
    for one, other in zip(first, second, strict=True):
        if one.choice is not None and other.choice is not None:
            table[choices.index(one.choice), choices.index(other.choice)] += 1
    return table


def rank_agreement(scores: ScoreTable, *, seed: int = 0) -> list[Agreement]:
    """Every score of a judge with every one that needs none, each by its first metric.

    Args:
        scores: Of both kinds.
        seed: Of the resampled features.
    """
    first = {
        scorer: (names[0], conditions)
        for scorer, conditions in scores.items()
        if (names := metric_names(conditions.get(EXPLAINED, {})))
    }
    found = []
    for judged in (scorer for scorer in JUDGED_SCORERS if scorer in first):
        for free in (scorer for scorer in FREE_SCORERS if scorer in first):
            (metric, conditions), (free_metric, free_conditions) = first[judged], first[free]
            plain = _values(free_conditions[EXPLAINED], free_metric)
            own, shuffled = (
                _spearman(_values(conditions.get(condition, {}), metric), plain, seed)
                for condition in (EXPLAINED, SHUFFLED)
            )
            free_name = f"{free}_{free_metric}".removesuffix("_")
            found.append(Agreement(f"{judged}_{metric}", free_name, own, shuffled))
    return found


def _values(scored: Mapping[int, Any], metric: str) -> dict[int, float]:
    values = {feature: each.metrics.get(metric) for feature, each in scored.items()}
    return {feature: value for feature, value in values.items() if value is not None}


def _spearman(first: Mapping[int, float], second: Mapping[int, float], seed: int) -> Measurement:
    both = sorted(first.keys() & second.keys())
    if len(both) < FEWEST_FEATURES:
        return Measurement(
            None, None, None, len(both), reason=f"{len(both)} features have both, expected {FEWEST_FEATURES}"
        )
    pairs = np.array([[first[feature], second[feature]] for feature in both])
    return item_bootstrap(_rank_correlation, pairs, seed=seed, reason="all features score alike")


def _rank_correlation(pairs: np.ndarray) -> float:
    if (np.ptp(pairs, axis=0) == 0).any():
        return math.nan
    return float(np.corrcoef(rankdata(pairs[:, 0]), rankdata(pairs[:, 1]))[0, 1])


def _kappa(tables: np.ndarray) -> float:
    table = tables.sum(0)
    marginals = table.sum(0) + table.sum(1)
    if np.count_nonzero(marginals) < 2:
        return math.nan
    return float(cohens_kappa(table, return_results=False))
