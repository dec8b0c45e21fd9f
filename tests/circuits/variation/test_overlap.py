"""Overlaps on cases done by hand, and random overlaps against draws."""

import random
from itertools import combinations

import pytest

from circuits.variation.overlap import jaccard, random_jaccard, random_rank_biased_overlap, rank_biased_overlap


def by_definition(a, b, p):
    """Equation 32 of the paper, depth by depth."""
    shorter, longer = sorted((a, b), key=len)
    s, n = len(shorter), len(longer)
    shared = {d: len(set(shorter[:d]) & set(longer[:d])) for d in range(1, n + 1)}
    total = sum(shared[d] / d * p**d for d in range(1, n + 1))
    total += sum(shared[s] * (d - s) / (s * d) * p**d for d in range(s + 1, n + 1))
    return (1 - p) / p * total + ((shared[n] - shared[s]) / n + shared[s] / s) * p**n


@pytest.mark.parametrize("measure", [jaccard, rank_biased_overlap])
def test_equal_rankings_overlap_wholly_and_disjoint_ones_not_at_all(measure):
    assert measure("abcde", "abcde") == pytest.approx(1.0, abs=1e-12)
    assert measure("abc", "def") == 0.0
    assert measure("", "") == 1.0
    assert measure("a", "") == 0.0


def test_jaccard_by_hand():
    assert jaccard("abc", "cde") == 1 / 5


def test_rank_biased_overlap_by_hand():
    # agreement 0, then 1/2 at depth 2 and beyond
    assert rank_biased_overlap("ab", "bc", persistence=0.5) == pytest.approx(1 * (0.5 * 0.25) + 0.5 * 0.25)
    # agreement 1, then 1/2: the top counts more
    assert rank_biased_overlap("ab", "ac", persistence=0.5) == pytest.approx(0.5 + 0.5 * 0.25 + 0.5 * 0.25)
    # a ranking that goes on agrees where the shorter one ends
    assert rank_biased_overlap("abcd", "ab") == pytest.approx(1.0)


@pytest.mark.parametrize("seed", range(6))
def test_rank_biased_overlap_against_its_formula(seed):
    dice = random.Random(seed)
    a, b = (dice.sample(range(30), dice.randint(1, 20)) for _ in range(2))
    for persistence in (0.3, 0.9):
        expected = by_definition(a, b, persistence)
        assert rank_biased_overlap(a, b, persistence=persistence) == pytest.approx(expected)
        assert rank_biased_overlap(b, a, persistence=persistence) == pytest.approx(expected)


@pytest.mark.parametrize(("size", "total"), [(1, 5), (2, 5), (4, 5), (5, 5)])
def test_random_sets_overlap_as_all_of_them_do_on_average(size, total):
    sets = list(combinations(range(total), size))
    expected = sum(jaccard(a, b) for a in sets for b in sets) / len(sets) ** 2
    assert random_jaccard(size, total) == pytest.approx(expected)


def test_random_rankings_overlap_as_draws_do():
    dice = random.Random(0)
    draws = [rank_biased_overlap(dice.sample(range(20), 8), dice.sample(range(20), 8)) for _ in range(4000)]
    mean = sum(draws) / len(draws)
    error = (sum((draw - mean) ** 2 for draw in draws) / len(draws) ** 2) ** 0.5
    assert random_rank_biased_overlap(8, 20) == pytest.approx(mean, abs=4 * error)
    assert random_rank_biased_overlap(3, 3) < 1.0  # the same set, but in random order
    assert random_jaccard(0, 5) == random_rank_biased_overlap(0, 5) == 1.0
