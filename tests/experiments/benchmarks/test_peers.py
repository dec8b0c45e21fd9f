"""Others' steps begin where ours does: the same weights give the same gradients."""

import pytest
import torch

pytest.importorskip("sae_lens")

from experiments.benchmarks.peers import DenseStep, SaeLensRecipe, SaeLensStep
from experiments.benchmarks.step_cases import Case, dictionary_with_l0, loss_of
from sae.kernels.dispatch import loss_and_gradients

CASE = Case(64, 32, 4, d_model=12)
RECIPE = SaeLensRecipe(l0=4, batch_tokens=32, bandwidth=loss_of(CASE).bandwidth, learning_rate=1e-3)


@pytest.fixture
def start():
    return dictionary_with_l0(CASE, device=torch.device("cpu"))


def test_sae_lens_has_our_gradients(start):
    weights, x = start
    _, expected = loss_and_gradients(weights, x, loss_of(CASE), kernel="sparse")
    peer = SaeLensStep(weights, RECIPE)

    peer.gradients(x)

    torch.testing.assert_close(peer.dictionary.W_enc.grad.T, expected.encoder_rows, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(peer.dictionary.W_dec.grad, expected.decoder_rows, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(peer.dictionary.threshold.grad, expected.threshold, atol=1e-4, rtol=1e-4)


def test_the_dense_step_has_our_gradients(start):
    weights, x = start
    _, expected = loss_and_gradients(weights, x, loss_of(CASE), kernel="sparse")

    DenseStep(weights, loss_of(CASE))(x).backward()

    torch.testing.assert_close(weights.encoder_rows.grad, expected.encoder_rows, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(weights.threshold.grad, expected.threshold, atol=1e-4, rtol=1e-4)


def test_what_sae_lens_trained_comes_back_with_unit_rows(start):
    weights, x = start
    peer = SaeLensStep(weights, RECIPE)
    for _ in range(3):
        peer.step(x)

    found = peer.weights()

    theirs = peer.dictionary.encode(x)
    pre_acts = x @ found.encoder_rows.T + found.b_enc
    ours = pre_acts * (pre_acts > found.threshold)
    torch.testing.assert_close(found.decoder_rows.norm(dim=1), torch.ones(64))
    torch.testing.assert_close(ours @ found.decoder_rows, theirs @ peer.dictionary.W_dec, atol=1e-5, rtol=1e-4)
    assert not torch.equal(found.encoder_rows, weights.encoder_rows)
