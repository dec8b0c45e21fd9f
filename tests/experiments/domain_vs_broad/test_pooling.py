"""Ratios pooled over seeds: against closed forms, and what pairs make of an interval."""

import pytest
import torch

from experiments.domain_vs_broad.measures.pooling import Ratio, mean_of, pooled, pooled_difference, pooled_gap
from experiments.domain_vs_broad.seed_resampling import mean_over_drawn_seeds

N = 200


def noise(seed, n=N):
    return torch.randn(n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def ratio(values, **options):
    return Ratio(values, torch.ones_like(values), **options)


def test_the_value_is_the_mean_over_seeds_of_ratios_of_sums():
    below = noise(0).abs() + 1
    first, second = Ratio(2 * below, below), Ratio(noise(1), below)
    expected = (2 + float(noise(1).sum() / below.sum())) / 2
    assert pooled([first, second]).value == pytest.approx(expected)


def test_with_one_seed_the_interval_is_that_of_the_mean():
    found = pooled([ratio(noise(0))])
    error = float(noise(0).std() / N**0.5)
    assert (found.high - found.low) / 2 == pytest.approx(1.96 * error, rel=0.1)
    assert found.n == N


def test_seeds_that_differ_widen_the_interval():
    alike = pooled([ratio(noise(0)), ratio(noise(0))])
    different = pooled([ratio(noise(0)), ratio(noise(0) + 5)])
    assert different.high - different.low > 3 * (alike.high - alike.low)


def test_shared_units_are_compared_in_pairs_and_own_ones_are_not():
    arms = {"a": [ratio(noise(0) + 0.1)], "b": [ratio(noise(0))]}
    found = pooled_difference(arms, "a", "b")
    assert (found.low, found.high) == pytest.approx((0.1, 0.1))
    own = {name: [ratio(each.above, is_shared=False) for each in seeds] for name, seeds in arms.items()}
    alone = pooled_difference(own, "a", "b")
    assert alone.low < 0 < alone.high


def test_units_without_a_value_do_not_count():
    found = pooled([mean_of([1.0, None, 3.0])])
    assert (found.value, found.n) == (2.0, 2)


@pytest.mark.parametrize(
    ("seeds", "reason"),
    [
        ([], "nothing was measured"),
        ([mean_of([])], "nothing was measured"),
        ([mean_of([None, None])], "nothing was measured"),
        ([mean_of([1.0])], "one unit has no interval"),
    ],
)
def test_without_units_there_is_a_reason_instead(seeds, reason):
    found = pooled(seeds)
    assert found.reason == reason
    assert found.low is None


def test_an_arm_that_was_not_measured_has_no_difference():
    assert pooled_difference({"a": [], "b": [mean_of([1.0, 2.0])]}, "a", "b").value is None


def test_a_gap_within_dictionaries_pairs_features_and_seeds():
    seeds = [ratio(noise(seed) + 10 * seed, is_shared=False) for seed in range(3)]
    nulls = [ratio(each.above - 0.5, is_shared=False) for each in seeds]
    found = pooled_gap(seeds, nulls)
    assert (found.value, found.low, found.high) == pytest.approx((0.5, 0.5, 0.5))


def test_a_gap_leaves_out_seeds_that_lack_either():
    found = pooled_gap([mean_of([1.0, 2.0]), mean_of([5.0, 7.0])], [mean_of([0.0, 1.0]), mean_of([])])
    assert found.value == 1.0
    assert pooled_gap([mean_of([])], [mean_of([1.0])]).value is None


def test_own_units_of_seeds_are_drawn_apart():
    """Were they drawn alike, two dictionaries with opposite features would seem to have no spread."""
    seeds = [ratio(noise(0), is_shared=False), ratio(-noise(0), is_shared=False)]
    found = pooled(seeds)
    assert found.high - found.low > 0.1
    assert found.n == 2 * N


def test_one_seed_is_its_own_mean():
    draws = noise(3, 11)[None]
    torch.testing.assert_close(mean_over_drawn_seeds(draws, seed=1), draws[0])
