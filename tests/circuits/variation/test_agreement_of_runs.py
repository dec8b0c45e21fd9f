"""Frequencies and overlaps of runs, with their degenerate cases."""

import pytest

from circuits.variation.agreement_of_runs import MOST_PAIRS, Spread, summarise
from circuits.variation.case import Repeats
from circuits.variation.overlap import random_jaccard


def test_runs_that_keep_the_circuit_overlap_wholly():
    found = summarise(tuple("abc"), Repeats((tuple("abc"),) * 3, ("x", "y", "z")), 10)
    for overlap in (found.jaccard, found.rank_biased_overlap):
        for spread in (overlap.with_circuit, overlap.between_runs):
            assert (spread.mean, spread.low, spread.high) == pytest.approx((1.0, 1.0, 1.0))
    assert found.frequency == {"a": 1.0, "b": 1.0, "c": 1.0}
    assert found.features_kept == 1.0
    assert found.jaccard.null == random_jaccard(3, 10)


def test_disjoint_runs_do_not_overlap():
    found = summarise(tuple("ab"), Repeats((tuple("cd"), tuple("ef"))), 10)
    assert found.jaccard.with_circuit == Spread(0.0, 0.0, 0.0)
    assert found.rank_biased_overlap.between_runs.mean == 0.0
    assert found.features_kept == 0.0
    assert found.frequency == {"c": 0.5, "d": 0.5, "e": 0.5, "f": 0.5}


def test_frequencies_and_overlaps_by_hand():
    found = summarise(tuple("ab"), Repeats((tuple("ab"), tuple("bc"))), 4)
    assert found.frequency == {"a": 0.5, "b": 1.0, "c": 0.5}
    assert found.features_kept == 0.75
    assert found.jaccard.with_circuit == Spread((1 + 1 / 3) / 2, 1 / 3, 1.0)
    assert found.jaccard.between_runs == Spread(1 / 3, None, None)
    assert found.spread == "range of runs"


def test_many_runs_have_the_middle_95_percent_and_pairs_at_random():
    runs = tuple(("a",) if i < 80 else ("b",) for i in range(100))
    found = summarise(("a",), Repeats(runs), 5)
    assert found.spread == "middle 95 % of runs"
    whole = found.jaccard.with_circuit
    assert (whole.mean, whole.low, whole.high) == pytest.approx((0.8, 0.0, 1.0))
    chance = (80 * 79 + 20 * 19) / (100 * 99)
    error = (chance * (1 - chance) / MOST_PAIRS) ** 0.5
    assert found.jaccard.between_runs.mean == pytest.approx(chance, abs=4 * error)


def test_a_single_run_has_no_spread_and_none_has_a_reason():
    single = summarise(("a",), Repeats((("a",),), ("bfloat16",)), 5)
    assert single.jaccard.with_circuit == Spread(1.0, None, None)
    assert single.jaccard.between_runs is None
    assert single.spread is None
    none = summarise(("a",), Repeats(reason="it cannot"), 5)
    assert none.to_json()["reason"] == "it cannot"
    assert none.frequency is None
