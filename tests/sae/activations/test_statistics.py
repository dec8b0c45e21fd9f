"""Moments by hand, and that parts add up to the whole."""

import pytest
import torch

from sae.activations.statistics import Moments, site_statistics
from sae.host.sites import Site

SITE = Site("embed", None)
ROWS = torch.tensor([[3.0, 4.0], [1.0, 0.0], [-1.0, 2.0]])


def test_by_hand():
    found = Moments.of(ROWS).statistics(SITE)

    # deviations from (1, 2): (2, 2), (0, -2), (-2, 0): squares sum to 16 over 6 elements
    assert found.mean.tolist() == [1.0, 2.0]
    assert found.scale == pytest.approx((16 / 6) ** 0.5)
    assert found.mean_norm == pytest.approx((5 + 1 + 5**0.5) / 3)
    assert found.mean_square == pytest.approx((25 + 1 + 5) / 3)


def test_parts_add_up_to_the_whole_whatever_their_sizes():
    whole = Moments.of(ROWS)
    parts = Moments.none(2) + Moments.of(ROWS[:1]) + Moments.of(ROWS[:0]) + Moments.of(ROWS[1:])

    assert parts.n_tokens == 3
    assert parts.statistics(SITE).scale == pytest.approx(whole.statistics(SITE).scale)
    torch.testing.assert_close(parts.mean, whole.mean)


def test_a_mean_far_from_zero_loses_no_spread():
    rows = torch.randn(20_000, 4, generator=torch.Generator().manual_seed(0)) + 3000

    found = site_statistics(SITE, [rows[:7000], rows[7000:]])

    assert found.scale == pytest.approx(float((rows.double() - rows.double().mean(0)).square().mean().sqrt()), rel=1e-9)


@pytest.mark.parametrize("rows", [torch.ones(5, 2), torch.tensor([[float("nan"), 1.0]])])
def test_what_does_not_vary_or_is_not_finite_is_refused(rows):
    with pytest.raises(ValueError, match="activations at embed have spread"):
        site_statistics(SITE, [rows])


def test_nothing_at_all_is_refused():
    with pytest.raises(ValueError, match="no activations at embed"):
        site_statistics(SITE, [])
