"""Judges that do not look get what they must; missing predictions are counted, bounded, and never a score."""

import random

import pytest

from sae.interpretation.detection_score import area_under_roc, detection_score
from sae.interpretation.sampling import Example


def examples(n_positive, n_random, **tiers):
    counts = {"positive": n_positive, "random": n_random, **tiers}
    return [
        Example(0, 0, 0, 1, tier, decile=number * 10 // n_positive if tier == "positive" else None)
        for tier, count in counts.items()
        for number in range(count)
    ]


@pytest.mark.parametrize(
    ("answer", "f1", "sensitivity", "specificity"), [(True, 2 / 3, 1.0, 0.0), (False, 0.0, 0.0, 1.0)]
)
def test_one_answer_to_everything_is_balanced_at_a_half(answer, f1, sensitivity, specificity):
    tests = examples(40, 40, lexical=20)
    score = detection_score(tests, [answer] * 100, density=0.01)

    assert (score.balanced_accuracy, score.hard_balanced_accuracy) == (0.5, 0.5)
    assert score.f1 == pytest.approx(f1)
    assert score.always_yes_f1 == pytest.approx(2 / 3)
    assert score.positive_share == 0.5
    assert (score.sensitivity, score.specificity) == (sensitivity, specificity)
    assert score.precision_at_density == (pytest.approx(0.01) if answer else None)


def test_a_coin_is_balanced_at_a_half():
    rng = random.Random(0)
    tests = examples(4000, 10_000)
    score = detection_score(tests, [rng.random() < 0.5 for _ in tests])

    assert score.balanced_accuracy == pytest.approx(0.5, abs=0.02)
    assert score.f1 == pytest.approx(2 * 0.5 * (2 / 7) / (0.5 + 2 / 7), abs=0.02)


def test_a_judge_that_always_says_none_has_no_score():
    """Counting such an answer as `inactive` gives .714 where 4 of 14 examples are active."""
    score = detection_score(examples(4, 10), [None] * 14)

    assert score.balanced_accuracy is score.f1 is score.sensitivity is None
    assert (score.balanced_accuracy_low, score.balanced_accuracy_high) == (0.0, 1.0)
    assert (score.n_positive, score.n_negative, score.n_failed) == (0, 0, 14)


def test_always_no_does_not_profit_from_many_negatives():
    assert detection_score(examples(4, 10), [False] * 14).balanced_accuracy == 0.5


def test_missing_predictions_are_bounded_by_all_wrong_and_all_right():
    tests = examples(10, 10)
    predictions = [True] * 8 + [None] * 2 + [False] * 9 + [None]
    score = detection_score(tests, predictions)

    assert score.balanced_accuracy == 1.0
    assert score.balanced_accuracy_low == pytest.approx((0.8 + 0.9) / 2)
    assert score.balanced_accuracy_high == 1.0
    assert (score.n_positive, score.n_negative, score.n_failed) == (8, 9, 3)


def test_the_oracle_is_right_everywhere():
    tests = examples(40, 40, lexical=5, neighbour=5, negation=5)
    score = detection_score(
        tests, [each.is_positive for each in tests], scores=[float(each.is_positive) for each in tests]
    )

    assert score.balanced_accuracy == score.hard_balanced_accuracy == score.f1 == score.auroc == score.hard_auroc == 1
    assert score.sensitivity_by_decile == (1.0,) * 10
    assert all(tier.called_active == 0 for tier in score.tiers.values())


def test_a_word_detector_passes_random_negatives_and_fails_hard_ones():
    tests = examples(40, 40, lexical=20)
    score = detection_score(tests, [each.tier != "random" for each in tests])

    assert (score.balanced_accuracy, score.hard_balanced_accuracy) == (1.0, 0.5)
    assert score.tiers["lexical"].called_active == 1.0
    assert score.tiers["negation"].called_active is None


def test_precision_falls_with_rarity():
    tests = examples(50, 50)
    predictions = [True] * 45 + [False] * 5 + [True] + [False] * 49
    score = detection_score(tests, predictions, density=0.001)

    assert score.precision_at_density == pytest.approx(0.9 * 0.001 / (0.9 * 0.001 + 0.02 * 0.999))
    assert score.precision_at_density == pytest.approx(0.043, abs=0.001)


def test_area_under_roc_counts_pairs():
    rng = random.Random(1)
    positive, negative = ([float(rng.randrange(6)) for _ in range(n)] for n in (17, 23))
    wins = sum((a > b) + (a == b) / 2 for a in positive for b in negative)

    assert area_under_roc(positive, negative) == pytest.approx(wins / (17 * 23))
    assert area_under_roc([1.0, 1.0], [1.0]) == 0.5
    assert area_under_roc([], [1.0]) is None
