import pytest
import torch

from experiments.clinic.measurement import Measurement, bootstrap, share


def test_a_floor_is_met_from_above():
    assert Measurement("m", 0.9, 10, bar=0.9, null=0.1).passed
    assert not Measurement("m", 0.89, 10, bar=0.9, null=0.1).passed


def test_a_ceiling_is_met_from_below():
    assert Measurement("m", 0.2, 10, bar=0.25, at_most=True, null=5.0).passed
    assert not Measurement("m", 0.3, 10, bar=0.25, at_most=True, null=5.0).passed


def test_a_null_that_reaches_the_bar_fails_the_measurement():
    assert not Measurement("m", 0.95, 10, bar=0.9, null=0.92).passed


def test_what_has_no_bar_cannot_fail():
    assert Measurement("m", 0.0, 10).passed


def test_a_share_stands_within_its_interval():
    hits = torch.tensor([1.0] * 80 + [0.0] * 20)
    found = share("m", hits, bar=0.5)
    assert found.value == pytest.approx(0.8)
    assert found.low < 0.8 < found.high
    assert found.high - found.low < 0.2


def test_cases_that_agree_have_an_interval_without_width():
    assert bootstrap(torch.ones(20), lambda drawn: drawn.mean(-1)) == (1.0, 1.0)


def test_nothing_cannot_be_resampled():
    with pytest.raises(ValueError, match="nothing to resample"):
        bootstrap(torch.zeros(0), lambda drawn: drawn.mean(dim=-1))
