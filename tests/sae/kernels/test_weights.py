"""The trained tensors."""

import pytest
import torch

from sae.dictionary.autoencoder import SAE
from sae.kernels.weights import DictionaryWeights


@pytest.fixture
def weights() -> DictionaryWeights:
    return DictionaryWeights.random(40, 12, generator=torch.Generator().manual_seed(0), threshold=0.25)


def test_random_weights_are_tied_and_unit(weights):
    assert (weights.d_sae, weights.d_model, weights.device.type) == (40, 12, "cpu")
    torch.testing.assert_close(weights.decoder_rows.norm(dim=1), torch.ones(40))
    assert torch.equal(weights.encoder_rows, weights.decoder_rows)
    assert weights.encoder_rows.data_ptr() != weights.decoder_rows.data_ptr()
    assert weights.threshold.tolist() == [0.25] * 40


def test_normalise_decoder_keeps_directions(weights):
    before = weights.decoder_rows.detach().clone()
    with torch.no_grad():
        weights.decoder_rows.mul_(3.0)

    weights.normalise_decoder()

    torch.testing.assert_close(weights.decoder_rows.detach(), before)


def test_weights_from_an_sae_are_copies():
    sae = SAE(
        encoder_rows=torch.eye(3, 2),
        b_enc=torch.ones(3),
        decoder_rows=torch.eye(3, 2) * 2,
        b_dec=torch.zeros(2),
        threshold=torch.tensor([0.0, 1.0, 2.0]),
    )

    weights = DictionaryWeights.from_sae(sae)
    with torch.no_grad():
        weights.decoder_rows.zero_()

    assert sae.W_dec[0, 0] == 2
    assert weights.threshold.tolist() == [0.0, 1.0, 2.0]
    assert weights.b_enc.requires_grad


def test_a_topk_dictionary_is_refused():
    rows = torch.eye(3, 2)
    sae = SAE(
        encoder_rows=rows, b_enc=torch.ones(3), decoder_rows=rows, b_dec=torch.zeros(2), threshold=torch.zeros(3),
        top_k=2,
    )  # fmt: skip

    with pytest.raises(ValueError, match=r"is TopK \(top_k 2\), .*; begin with a JumpReLU SAE, or train a new one"):
        DictionaryWeights.from_sae(sae)
