"""One training step: the sparse path equals the dense reference."""

import pytest
import torch

from sae.kernels.reference import reconstruction_loss_gradients
from sae.training.batch_topk import BatchTopKWeights, active_entries, batch_threshold, forward_backward


@pytest.fixture
def weights() -> BatchTopKWeights:
    return BatchTopKWeights.random(40, 12, generator=torch.Generator().manual_seed(0))


def test_initial_weights_are_tied_and_unit(weights):
    torch.testing.assert_close(weights.decoder_rows.norm(dim=1), torch.ones(40))
    assert torch.equal(weights.encoder_rows, weights.decoder_rows)
    assert weights.encoder_rows.data_ptr() != weights.decoder_rows.data_ptr()


def test_normalise_decoder_keeps_directions(weights):
    before = weights.decoder_rows.detach().clone()
    with torch.no_grad():
        weights.decoder_rows.mul_(3.0)

    weights.normalise_decoder()

    torch.testing.assert_close(weights.decoder_rows.detach(), before)


def test_the_batch_threshold_leaves_about_k_features_active():
    pre_acts = torch.randn(4096, 64, generator=torch.Generator().manual_seed(0))

    l0 = (pre_acts > batch_threshold(pre_acts, 5.0)).sum(1).float().mean()

    assert l0 == pytest.approx(5, rel=0.1)


@pytest.mark.parametrize("d_sae", [31, 62, 64])
def test_the_subsample_sees_every_feature(d_sae):
    # one loud feature; a stride that shares a divisor with d_sae would miss it or see nothing else
    pre_acts = torch.zeros(2000, d_sae)
    pre_acts[:, 7] = 1.0

    assert float(batch_threshold(pre_acts, 0.5)) == 1.0
    assert float(batch_threshold(pre_acts, 2.0)) < 1e-2


def test_the_batch_threshold_stays_positive_where_nothing_fires():
    assert batch_threshold(torch.full((100, 8), -1.0), 2.0) > 0


def test_active_entries_in_both_orders():
    pre_acts = torch.tensor([[0.0, 5.0, 6.0], [7.0, 0.0, 8.0]])

    active = active_entries(pre_acts, torch.tensor(1.0))

    assert active.values.tolist() == [5.0, 6.0, 7.0, 8.0]
    assert active.feature_ids[active.feature_order].tolist() == [0, 1, 2, 2]


@pytest.mark.parametrize("k", [0.3, 4.0, 40.0])
def test_gradients_equal_the_dense_reference(weights, k):
    x = torch.randn(300, 12, generator=torch.Generator().manual_seed(1))

    result = forward_backward(weights, x, k)

    with torch.no_grad():
        pre_acts = x @ weights.encoder_rows.T + weights.b_enc
        active = pre_acts > batch_threshold(pre_acts, k)
        expected = reconstruction_loss_gradients(x, pre_acts, active, weights.decoder_rows, weights.b_dec)
        error = (pre_acts * active) @ weights.decoder_rows + weights.b_dec - x
    torch.testing.assert_close(weights.encoder_rows.grad, expected["W_enc"].T)
    torch.testing.assert_close(weights.b_enc.grad, expected["b_enc"])
    torch.testing.assert_close(weights.decoder_rows.grad, expected["W_dec"])
    torch.testing.assert_close(weights.b_dec.grad, expected["b_dec"])
    torch.testing.assert_close(result.fvu, error.square().mean())
    assert result.fire_counts.tolist() == active.sum(0).tolist()
    assert result.l0 == pytest.approx(active.sum().item() / 300)


def test_a_batch_without_any_active_feature_trains_the_bias_alone(weights):
    with torch.no_grad():
        weights.b_enc.fill_(-100.0)

    result = forward_backward(weights, torch.ones(50, 12), 4.0)

    assert result.l0 == 0
    assert weights.encoder_rows.grad.abs().sum() == 0
    assert weights.b_dec.grad.tolist() == pytest.approx([-2.0] * 12)


def test_emphasis_weighs_the_loss_of_a_token_and_lets_it_use_more_features(weights):
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(64, 12, generator=generator)
    emphasis = torch.where(torch.arange(64) < 32, 3.0, 1.0)[:, None]

    plain = forward_backward(weights, x, 3.0)
    emphasised = forward_backward(weights, x, 3.0, emphasis=emphasis)
    found = {name: getattr(weights, name).grad.clone() for name in ("decoder_rows", "encoder_rows", "b_enc", "b_dec")}

    pre_acts = torch.nn.functional.linear(x, weights.encoder_rows, weights.b_enc)
    threshold = batch_threshold((pre_acts * emphasis).detach(), 3.0) / emphasis
    kept = (pre_acts > threshold).detach()
    error = (pre_acts * kept) @ weights.decoder_rows + weights.b_dec - x
    loss = (emphasis.square() * error.square()).sum() / len(x)
    expected = torch.autograd.grad(loss, [getattr(weights, name) for name in found])

    for name, gradient in zip(found, expected, strict=True):
        torch.testing.assert_close(found[name], gradient, atol=1e-5, rtol=1e-5)
    assert kept[:32].sum() > kept[32:].sum()
    assert emphasised.l0 == pytest.approx(plain.l0, rel=0.35)
