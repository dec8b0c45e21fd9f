"""Fidelity of dictionaries whose scores are known beforehand."""

import pytest
import torch
from tiny_models import random_sae

from sae.dictionary.autoencoder import SAE
from sae.evaluation import fidelity as fidelity_module
from sae.evaluation.fidelity import FidelityMeter, measure_fidelity

ACTIVATIONS = torch.randn(1000, 8, generator=torch.Generator().manual_seed(0)) + 3.0


def identity_sae(d_model=8) -> SAE:
    """Two features per coordinate, one a sign: reconstructs everything."""
    rows = torch.cat([torch.eye(d_model), -torch.eye(d_model)])
    zeros = torch.zeros(2 * d_model)
    return SAE(encoder_rows=rows, b_enc=zeros, decoder_rows=rows, b_dec=torch.zeros(d_model), threshold=zeros)


def empty_sae(b_dec) -> SAE:
    """No feature ever fires."""
    rows = torch.zeros(4, len(b_dec))
    return SAE(encoder_rows=rows, b_enc=torch.zeros(4), decoder_rows=rows, b_dec=b_dec, threshold=torch.zeros(4))


def test_a_perfect_dictionary_explains_everything():
    result = measure_fidelity(identity_sae(), ACTIVATIONS)

    assert result.explained_variance == pytest.approx(1, abs=1e-9)
    assert result.l0 == 8
    assert result.l0_quantiles == {0.05: 8, 0.5: 8, 0.95: 8}


def test_a_zero_dictionary_is_worse_than_the_mean():
    assert measure_fidelity(empty_sae(torch.zeros(8)), ACTIVATIONS).explained_variance < 0


def test_a_dictionary_that_is_only_the_mean_explains_nothing():
    result = measure_fidelity(empty_sae(ACTIVATIONS.mean(0)), ACTIVATIONS)

    assert result.explained_variance == pytest.approx(0, abs=1e-9)
    assert (result.l0, result.dead_share) == (0, 1)
    assert result.l0_quantiles == {0.05: 0, 0.5: 0, 0.95: 0}


@pytest.mark.parametrize("value", [0.0, 0.1, 1e4])
def test_constant_activations_have_no_variance_to_explain(value):
    result = measure_fidelity(identity_sae(), torch.full((9_777, 8), value))

    assert result.explained_variance is None


def test_a_class_is_centred_on_its_own_mean():
    # two distant clusters: the overall mean is far from both, each cluster is flat but for a little noise
    answer = torch.arange(1000) % 2 == 0
    x = 0.01 * (ACTIVATIONS - 3.0) + torch.where(answer[:, None], 100.0, -100.0)
    means = torch.stack([x[answer].mean(0), x[~answer].mean(0)])
    sae = SAE(  # one feature a cluster: gives exactly its mean
        encoder_rows=torch.stack([torch.ones(8), -torch.ones(8)]) * 0.0,
        b_enc=torch.tensor([1.0, 0.0]),
        decoder_rows=means,
        b_dec=torch.zeros(8),
        threshold=torch.zeros(2),
    )

    result = measure_fidelity(sae, x, classes={"answer": answer, "other": ~answer})

    assert result.class_explained_variance["answer"] == pytest.approx(0, abs=1e-3)
    assert result.class_explained_variance["other"] < -1e6


def test_a_class_without_tokens_has_no_score():
    result = measure_fidelity(identity_sae(), ACTIVATIONS, classes={"none": torch.zeros(1000, dtype=torch.bool)})

    assert result.class_explained_variance == {"none": None}


def test_streaming_equals_the_formula_on_everything_at_once(monkeypatch):
    monkeypatch.setattr(fidelity_module, "TOKENS_PER_CHUNK", 37)
    sae = random_sae(d_model=8)
    feature_acts = sae.encode(ACTIVATIONS)
    residual = (ACTIVATIONS - sae.decode(feature_acts)).double().square().sum()
    variance = (ACTIVATIONS.double() - ACTIVATIONS.double().mean(0)).square().sum()

    result = measure_fidelity(sae, ACTIVATIONS)

    assert result.explained_variance == pytest.approx(float(1 - residual / variance), rel=1e-6)
    assert result.l0 == pytest.approx((feature_acts > 0).sum(1).double().mean().item())
    assert result.l0_quantiles[0.5] == (feature_acts > 0).sum(1).median()
    torch.testing.assert_close(result.density, (feature_acts > 0).double().mean(0))
    assert result.dead_share == ((feature_acts > 0).sum(0) == 0).double().mean()


def test_a_large_common_offset_does_not_spoil_the_variance():
    x = ACTIVATIONS.double() + 1e4

    result = measure_fidelity(empty_sae(x.mean(0).float()), x.float())

    assert result.explained_variance == pytest.approx(0, abs=1e-3)


def test_no_token_is_refused():
    with pytest.raises(ValueError, match="no token was evaluated"):
        FidelityMeter(identity_sae()).result()
