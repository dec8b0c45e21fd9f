"""Weighted draws of rows."""

import pytest
import torch

from sae.activations.sampling import RowSampler


def sampler(weights, n_rows=4):
    return RowSampler(n_rows, weights, generator=torch.Generator().manual_seed(0))


def shares(weights):
    return (torch.bincount(sampler(weights).draw(20_000), minlength=4) / 20_000).tolist()


def test_rows_are_drawn_in_proportion_to_their_weights():
    assert shares(torch.tensor([0.0, 1.0, 3.0, 0.0])) == pytest.approx([0, 0.25, 0.75, 0], abs=0.02)


def test_without_weights_all_are_equally_likely():
    assert shares(None) == pytest.approx([0.25] * 4, abs=0.02)


def test_a_row_of_weight_zero_is_never_drawn():
    assert shares(torch.tensor([0.0, 1.0, 1.0, 0.0]))[0] == 0
    assert shares(torch.tensor([0.0, 1.0, 1.0, 0.0]))[3] == 0


def test_rows_come_in_ascending_order():
    drawn = sampler(None, n_rows=1000).draw(50)

    assert torch.equal(drawn, drawn.sort().values)
    assert drawn.unique().numel() > 40


@pytest.mark.parametrize(
    ("n_rows", "weights", "message"),
    [
        (0, None, "no activations to train on"),
        (4, torch.ones(3), "3 weights for 4 tokens"),
        (4, torch.zeros(4), "at least one above 0"),
        (4, torch.tensor([1.0, -1.0, 1.0, 1.0]), "finite and not negative"),
        (4, torch.tensor([1.0, float("nan"), 1.0, 1.0]), "finite and not negative"),
    ],
)
def test_what_cannot_be_drawn_from_is_refused(n_rows, weights, message):
    with pytest.raises(ValueError, match=message):
        sampler(weights, n_rows)
