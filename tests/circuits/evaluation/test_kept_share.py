import pytest
import torch

from circuits.evaluation.kept_share import bootstrap_interval, faithfulness, reason_to_withhold, resampling_weights


def test_weights_of_a_resample_sum_to_one():
    weights = resampling_weights(7, n_draws=50)
    assert weights.shape == (50, 7)
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(50))
    assert resampling_weights(1) is None


def test_units_of_a_group_are_drawn_together():
    weights = resampling_weights(5, ["a", "b", "a", "c", "b"], n_draws=50)
    torch.testing.assert_close(weights[:, 0], weights[:, 2])
    torch.testing.assert_close(weights[:, 1], weights[:, 4])
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(50))
    assert resampling_weights(3, ["a", "a", "a"]) is None


def test_templates_that_repeat_themselves_leave_the_interval_as_wide():
    """Ten copies of each unit are no new evidence, when they are drawn together."""
    metrics, empty, clean = torch.tensor([1.0, 2.0, 4.0]), torch.zeros(3), torch.full((3,), 4.0)
    alone = bootstrap_interval(metrics, empty, clean)
    names = [str(i) for i in range(3)] * 10
    copies = bootstrap_interval(metrics.repeat(10), empty.repeat(10), clean.repeat(10), groups=names)
    assert copies == pytest.approx(alone, abs=1e-6)
    narrow = bootstrap_interval(metrics.repeat(10), empty.repeat(10), clean.repeat(10))
    assert narrow[1] - narrow[0] < 0.6 * (alone[1] - alone[0])


def test_the_mean_is_taken_before_the_ratio():
    """A unit without a gap of its own does not blow up."""
    share = faithfulness(torch.tensor([[1.0, 0.5]]), torch.tensor([0.0, 0.5]), torch.tensor([2.0, 0.5]))
    assert share.tolist() == pytest.approx([0.5])


def test_a_denominator_on_one_side_of_0_withholds_nothing():
    assert reason_to_withhold(torch.zeros(4), torch.tensor([2.0, 3.0, 2.5, 4.0])) is None
    assert reason_to_withhold(torch.tensor([2.0, 3.0, 2.5, 4.0]), torch.zeros(4)) is None
    assert reason_to_withhold(torch.zeros(1), torch.full((1,), 0.01)) is None


def test_a_denominator_that_is_not_told_apart_from_0_is_a_reason():
    gaps = torch.tensor([3.0, -2.9, 2.0, -1.9])
    assert "0.0500 is small against its spread" in reason_to_withhold(torch.zeros(4), gaps)
    assert reason_to_withhold(torch.zeros(4), gaps.abs(), groups=["a", "a", "b", "b"]) is None
