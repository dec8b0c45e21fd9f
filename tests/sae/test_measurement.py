"""Measurements: their interval covers, degenerate units say so, and numbers are finite."""

import pytest
import torch
from torch import Tensor

from sae.measurement import Measurement, bootstrap, percentile_interval, resampled_counts


def mean_of(values: Tensor):
    """The weighted mean of one value a unit, as a statistic of counts."""
    return lambda counts: counts @ values / counts.sum(1)


def test_the_interval_of_a_mean_is_that_of_its_standard_error():
    values = torch.randn(400, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    measured = bootstrap(mean_of(values), 400, n_draws=4000)
    assert measured.value == pytest.approx(values.mean().item())
    half = 1.96 * values.std().item() / 20
    assert measured.high - measured.value == pytest.approx(half, rel=0.1)
    assert measured.value - measured.low == pytest.approx(half, rel=0.1)


def test_the_interval_covers_as_often_as_it_says():
    generator = torch.Generator().manual_seed(1)
    samples = torch.randn(200, 40, generator=generator, dtype=torch.float64)
    intervals = [bootstrap(mean_of(sample), 40, n_draws=400, seed=i) for i, sample in enumerate(samples)]
    covered = sum(measured.low <= 0 <= measured.high for measured in intervals) / 200
    assert 0.88 <= covered <= 0.99


def test_units_that_do_not_differ_have_an_interval_of_no_width():
    measured = bootstrap(mean_of(torch.full((5,), 0.25, dtype=torch.float64)), 5)
    assert (measured.value, measured.low, measured.high) == (0.25, 0.25, 0.25)


def test_one_unit_has_a_value_and_no_interval():
    measured = bootstrap(mean_of(torch.ones(1, dtype=torch.float64)), 1)
    assert (measured.value, measured.low, measured.high) == (1.0, None, None)
    assert measured.reason == "one unit has no interval"


def test_nothing_measured_has_no_value():
    assert bootstrap(mean_of(torch.empty(0, dtype=torch.float64)), 0).value is None


def test_an_undefined_statistic_has_no_value():
    undefined = bootstrap(lambda counts: counts.sum(1) * float("nan"), 3)
    assert undefined.value is None
    assert undefined.reason


def test_draws_without_a_value_are_left_out():
    low, high = percentile_interval(torch.tensor([1.0, float("nan"), 3.0], dtype=torch.float64))
    assert 1 <= low <= high <= 3
    with pytest.raises(ValueError, match="no resample has a value"):
        percentile_interval(torch.tensor([float("nan")], dtype=torch.float64))


def test_the_same_seed_draws_the_same_units():
    assert resampled_counts(7, n_draws=3, seed=2).equal(resampled_counts(7, n_draws=3, seed=2))
    assert resampled_counts(7, n_draws=3).sum(1).tolist() == [7, 7, 7]


def test_numbers_are_finite_and_a_missing_one_has_a_reason():
    with pytest.raises(ValueError, match="low of a measurement is nan, expected a finite number or None"):
        Measurement(1.0, float("nan"), None, 3)
    with pytest.raises(ValueError, match="neither value nor reason"):
        Measurement(None, None, None, 3)
    assert Measurement(1.0, 0.5, 1.5, 3, "nats").to_json()["unit"] == "nats"
