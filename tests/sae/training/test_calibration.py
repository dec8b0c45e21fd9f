"""The threshold for a wanted L0, exactly."""

import pytest
import torch
from tiny_models import random_sae

from sae.dictionary.autoencoder import SAE
from sae.training import calibration
from sae.training.calibration import threshold_for_l0, thresholds_under_emphasis

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


def test_each_feature_fires_as_often_as_under_emphasis():
    sae = random_sae()
    emphasis = torch.where(torch.arange(500) < 100, 3.0, 1.0)[:, None]

    thresholds = thresholds_under_emphasis(sae, ACTIVATIONS, 4.0, emphasis)

    fired = (sae.with_threshold(thresholds).encode(ACTIVATIONS) > 0).sum(0)
    scaled = sae.pre_acts(ACTIVATIONS) * emphasis
    cut = scaled.flatten().topk(4 * 500 + 1).values[-1]
    assert torch.equal(fired, (scaled > cut).sum(0))
    assert fired.sum() == 4 * 500


def test_without_emphasis_all_features_fire_above_the_common_threshold():
    sae = random_sae()
    common = threshold_for_l0(sae, ACTIVATIONS, 4.0)

    thresholds = thresholds_under_emphasis(sae, ACTIVATIONS, 4.0, torch.ones(500, 1))

    own, shared = (sae.with_threshold(t).encode(ACTIVATIONS) for t in (thresholds, torch.full((64,), common)))
    torch.testing.assert_close(own, shared)


def test_features_that_never_fire_stay_silent():
    eye = torch.eye(2)
    sae = SAE(encoder_rows=eye, b_enc=torch.zeros(2), decoder_rows=eye, b_dec=torch.zeros(2), threshold=torch.zeros(2))
    x = torch.tensor([[3.0, 0.5], [2.0, 0.25]])

    thresholds = thresholds_under_emphasis(sae, x, 1.0, torch.ones(2, 1))

    assert (sae.with_threshold(thresholds).encode(x) > 0).tolist() == [[True, False], [True, False]]
