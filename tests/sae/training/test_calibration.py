"""The threshold for a wanted L0, exactly."""

import pytest
import torch
from tiny_models import random_sae

from sae.dictionary.autoencoder import SAE
from sae.training import calibration
from sae.training.calibration import threshold_for_l0

ACTIVATIONS = torch.randn(500, 32, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("l0", [0.5, 2.5, 4])
def test_the_mean_l0_is_the_wanted_one(monkeypatch, l0):
    monkeypatch.setattr(calibration, "TOKENS_PER_CHUNK", 64)
    sae = random_sae()

    threshold = threshold_for_l0(sae, ACTIVATIONS, l0)

    calibrated = sae.with_threshold(torch.full((sae.d_sae,), threshold))
    assert (calibrated.encode(ACTIVATIONS) > 0).sum().item() == round(l0 * 500)


def test_the_threshold_of_readable_pre_acts():
    eye = torch.eye(4)
    sae = SAE(encoder_rows=eye, b_enc=torch.zeros(4), decoder_rows=eye, b_dec=torch.zeros(4), threshold=torch.zeros(4))

    assert threshold_for_l0(sae, torch.tensor([[4.0, 3.0, 2.0, 1.0]]), 2) == 2.0


def test_zero_where_too_few_pre_acts_are_positive():
    assert threshold_for_l0(random_sae(), ACTIVATIONS, 64) == 0


def test_half_precision_activations_are_fine():
    assert threshold_for_l0(random_sae(), ACTIVATIONS.half(), 4) > 0


@pytest.mark.parametrize("l0", [0, -1.0, 65])
def test_an_impossible_l0_is_refused(l0):
    with pytest.raises(ValueError, match=f"l0 is {l0}, expected more than 0 and at most d_sae, 64"):
        threshold_for_l0(random_sae(), ACTIVATIONS, l0)


def test_no_held_out_token_is_refused():
    with pytest.raises(ValueError, match="no held-out token"):
        threshold_for_l0(random_sae(), ACTIVATIONS[:0], 4)
