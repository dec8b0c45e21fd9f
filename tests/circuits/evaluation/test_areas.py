"""CPR and CMD on the benchmark's grid."""

import pytest
import torch

from circuits.evaluation.areas import SHARES, cmd, cpr, sizes_of_shares


def test_areas_add_up_where_no_circuit_keeps_more_than_the_model():
    kept = torch.rand(5, len(SHARES), generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(cpr(kept) + cmd(kept), torch.full((5,), 0.999))


def test_areas_add_up_to_more_where_one_does():
    kept = torch.full((1, len(SHARES)), 1.2)
    assert (cpr(kept) + cmd(kept)).item() > 1.3


def test_a_perfect_curve_and_an_empty_one():
    ones, zeros = torch.ones(1, len(SHARES)), torch.zeros(1, len(SHARES))
    assert (cpr(ones).item(), cmd(ones).item()) == pytest.approx((0.999, 0.0), abs=1e-6)
    assert (cpr(zeros).item(), cmd(zeros).item()) == pytest.approx((0.0, 0.999), abs=1e-6)


def test_the_trapezoids_by_hand():
    kept = torch.linspace(0.0, 0.9, len(SHARES))[None]
    by_hand = sum((b - a) * (x + y) / 2 for a, b, x, y in zip(SHARES, SHARES[1:], kept[0], kept[0][1:], strict=False))
    assert cpr(kept).item() == pytest.approx(float(by_hand), abs=1e-6)


def test_shares_are_rounded_down_and_the_last_is_everything():
    assert sizes_of_shares(681) == [0, 1, 3, 6, 13, 34, 68, 136, 340, 681]
    assert sizes_of_shares(0) == [0] * len(SHARES)
