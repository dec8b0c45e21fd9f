"""Weighted draws."""

import pytest
import torch

from sae.training.sampling import Sampler

ACTIVATIONS = torch.arange(4.0)[:, None].expand(4, 2)


def shares(weights):
    sampler = Sampler(ACTIVATIONS, weights, generator=torch.Generator().manual_seed(0))
    drawn = sampler.draw(20_000)[:, 0].long()
    return (torch.bincount(drawn, minlength=4) / 20_000).tolist()


def test_tokens_are_drawn_in_proportion_to_their_weights():
    assert shares(torch.tensor([0.0, 1.0, 3.0, 0.0])) == pytest.approx([0, 0.25, 0.75, 0], abs=0.02)


def test_without_weights_all_are_equally_likely():
    assert shares(None) == pytest.approx([0.25] * 4, abs=0.02)


def test_a_token_of_weight_zero_is_never_drawn():
    assert shares(torch.tensor([0.0, 1.0, 1.0, 0.0]))[0] == 0
    assert shares(torch.tensor([0.0, 1.0, 1.0, 0.0]))[3] == 0


def test_draws_are_float32_whatever_is_stored():
    sampler = Sampler(ACTIVATIONS.half(), None, generator=torch.Generator().manual_seed(0))

    assert sampler.draw(3).dtype == torch.float32


@pytest.mark.parametrize(
    ("n_tokens", "weights", "message"),
    [
        (0, None, "no activations to train on"),
        (4, torch.ones(3), "3 weights for 4 tokens"),
        (4, torch.zeros(4), "at least one above 0"),
        (4, torch.tensor([1.0, -1.0, 1.0, 1.0]), "finite and not negative"),
        (4, torch.tensor([1.0, float("nan"), 1.0, 1.0]), "finite and not negative"),
    ],
)
def test_what_cannot_be_drawn_from_is_refused(n_tokens, weights, message):
    with pytest.raises(ValueError, match=message):
        Sampler(ACTIVATIONS[:n_tokens], weights, generator=torch.Generator())
