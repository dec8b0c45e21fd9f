"""Agreement of judges, against the library on all answers at once, and of rankings, against scipy."""

import random

import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn.metrics import cohen_kappa_score

from sae.interpretation.agreement import FEWEST_FEATURES, kappa_of_judges, rank_agreement
from sae.interpretation.judged_scores import Task
from sae.interpretation.judges.answers import Verdict
from sae.interpretation.judges.request import JudgeRequest
from sae.interpretation.questions import Asked, Question
from sae.interpretation.sampling import Sample
from sae.interpretation.scored import EXPLAINED, SHUFFLED, Scored

REQUEST = JudgeRequest((), choices=("yes", "no"))


def task(feature, n, condition=EXPLAINED):
    sample = Sample(feature, 0.1, (), ())
    return Task("detection", condition, sample, (Question((Asked(REQUEST, "yes"),)),) * n)


def verdicts(choices):
    return [Verdict(choice, None, None if choice else "failed", (), ()) for choice in choices]


def test_kappa_is_that_of_all_answers_with_own_explanations():
    rng = random.Random(0)
    tasks = [task(1, 20), task(1, 15, SHUFFLED), task(2, 30)]
    first = [rng.choice(["yes", "no"]) for _ in range(65)]
    second = [each if rng.random() < 0.7 else rng.choice(["yes", "no"]) for each in first]
    second[3] = None
    counted = [i for i in range(65) if not 20 <= i < 35 and i != 3]
    measured = kappa_of_judges(tasks, verdicts(first), verdicts(second))["detection"]

    assert measured.value == pytest.approx(cohen_kappa_score([first[i] for i in counted], [second[i] for i in counted]))
    assert measured.n == 2


@pytest.mark.parametrize(("second", "kappa"), [(["yes", "no"] * 20, 1.0), (["no", "yes"] * 20, -1.0)])
def test_kappa_of_the_same_and_of_the_opposite(second, kappa):
    tasks = [task(feature, 10) for feature in range(4)]
    measured = kappa_of_judges(tasks, verdicts(["yes", "no"] * 20), verdicts(second))["detection"]
    assert (measured.value, measured.low, measured.high) == (kappa, kappa, kappa)


@pytest.mark.parametrize("second", [["yes"] * 40, [None] * 40])
def test_kappa_of_answers_that_say_nothing_is_not_defined(second):
    tasks = [task(feature, 10) for feature in range(4)]
    measured = kappa_of_judges(tasks, verdicts(["yes"] * 40), verdicts(second))["detection"]
    assert (measured.value, measured.reason) == (None, "all answers are alike, or none is answered by both")


def test_a_judge_that_always_says_the_same_agrees_by_chance_only():
    tasks = [task(feature, 10) for feature in range(4)]
    measured = kappa_of_judges(tasks, verdicts(["yes", "no"] * 20), verdicts(["yes"] * 40))["detection"]
    assert measured.value == pytest.approx(0.0)


def scored(values, metric="balanced_accuracy"):
    return {feature: Scored({metric: value}, {}) for feature, value in enumerate(values)}


def test_rankings_are_compared_over_features_that_have_both():
    rng = np.random.default_rng(0)
    free, noise = rng.random(30), rng.random(30)
    judged = [*(0.7 * free + 0.3 * noise)[:-1], None]
    table = {
        "detection": {EXPLAINED: scored(judged), SHUFFLED: scored(rng.random(30))},
        "lexical": {EXPLAINED: scored(free)},
        "sensitivity": {EXPLAINED: scored([0.5] * 30, "")},
    }
    lexical, sensitivity = rank_agreement(table)

    assert (lexical.judged, lexical.free) == ("detection_balanced_accuracy", "lexical_balanced_accuracy")
    assert lexical.correlation.value == pytest.approx(spearmanr(judged[:-1], free[:-1])[0])
    assert lexical.correlation.n == 29
    assert 0.5 < lexical.correlation.low < lexical.correlation.high <= 1.0
    assert lexical.shuffled.low < 0 < lexical.shuffled.high
    assert (sensitivity.free, sensitivity.correlation.reason) == ("sensitivity", "all features score alike")


def test_too_few_features_have_no_rank_correlation():
    table = {"detection": {EXPLAINED: scored([0.1, 0.2])}, "lexical": {EXPLAINED: scored([0.1, 0.2])}}
    [agreement] = rank_agreement(table)
    assert agreement.correlation.value is None
    assert agreement.correlation.reason == f"2 features have both, expected {FEWEST_FEATURES}"


def test_without_a_judge_there_is_nothing_to_agree():
    assert rank_agreement({"lexical": {EXPLAINED: scored([0.1, 0.2])}}) == []
