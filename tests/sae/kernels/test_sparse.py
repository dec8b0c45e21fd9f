"""The sparse path: every gradient of every loss equals autograd, whatever the support looks like."""

from dataclasses import replace

import pytest
import torch
from torch.nn import Parameter

from sae.kernels.loss import LossSettings
from sae.kernels.reference import reconstruction_loss_gradients
from sae.kernels.sparse import sparse_gradients, sparse_selected_gradients

STEP = LossSettings("step", 0.7, 0.3)


def test_gradients_equal_autograd(make_case, loss, assert_equals_autograd):
    case = make_case()

    found = sparse_gradients(case.weights, case.x, loss, dead=case.dead, emphasis=case.emphasis)

    assert_equals_autograd(found, case, loss, dead=case.dead, emphasis=case.emphasis)
    assert found[0].kernel == "sparse"


def test_without_emphasis_and_dead_features(make_case, loss, assert_equals_autograd):
    case = make_case(seed=2)

    assert_equals_autograd(sparse_gradients(case.weights, case.x, loss), case, loss)


@pytest.mark.parametrize("b_enc", [-100.0, 100.0], ids=["empty rows", "full rows"])
def test_where_nothing_or_everything_is_active(make_case, loss, assert_equals_autograd, b_enc):
    case = make_case()
    with torch.no_grad():
        case.weights.b_enc.fill_(b_enc)

    found = sparse_gradients(case.weights, case.x, loss, dead=case.dead)

    assert_equals_autograd(found, case, loss, dead=case.dead, tolerance=1e-8)
    assert found[0].l0 == (37 if b_enc > 0 else 0)


def test_one_hot_feature(make_case, loss, assert_equals_autograd):
    case = make_case(tokens=300)
    with torch.no_grad():
        case.weights.b_enc.fill_(-100.0)
        case.weights.b_enc[5] = 3.0

    found = sparse_gradients(case.weights, case.x, loss, dead=case.dead)

    assert_equals_autograd(found, case, loss, dead=case.dead)
    assert found[0].fire_counts[5] > 250


def tied(case):
    """Pre-activations of exactly theta, theta + eps/2 and theta - eps/2."""
    with torch.no_grad():
        case.weights.encoder_rows.zero_()
        case.weights.threshold.fill_(0.5)
        case.weights.b_enc.copy_(torch.tensor([0.25, 0.5, 0.75, 0.5 + 2**-20]).repeat(10)[:37])
    return case


def test_ties_at_the_threshold_are_inactive_and_at_the_edge_outside_the_window(make_case, loss, assert_equals_autograd):
    case, loss = tied(make_case()), replace(loss, bandwidth=0.5)

    found = sparse_gradients(case.weights, case.x, loss, dead=case.dead)

    assert_equals_autograd(found, case, loss, dead=case.dead)
    assert found[0].fire_counts[:4].tolist() == [0, 0, 23, 23]
    assert found[0].window_counts[:4].tolist() == [0, 23, 0, 23]


def test_float32_and_an_odd_shape(make_case, assert_equals_autograd):
    case = make_case(tokens=1, d_model=7, d_sae=3, dtype=torch.float32)

    found = sparse_gradients(case.weights, case.x, STEP)

    assert found[1].encoder_rows.dtype == torch.float32
    assert_equals_autograd(found, case, STEP, tolerance=1e-5)


def test_two_runs_give_the_same_bits(make_case):
    case = make_case(dtype=torch.float32, tokens=200)
    first, second = (sparse_gradients(case.weights, case.x, STEP)[1] for _ in range(2))

    assert torch.equal(first.encoder_rows, second.encoder_rows)
    assert torch.equal(first.decoder_rows, second.decoder_rows)


@pytest.mark.parametrize("with_pre_acts", [True, False])
@pytest.mark.parametrize("per_token", [True, False])
def test_a_given_choice_of_features(make_case, with_pre_acts, per_token):
    case = make_case()
    weights = case.weights
    pre_acts = (case.x @ weights.encoder_rows.T + weights.b_enc).detach()
    threshold = 0.4 / case.emphasis if per_token else torch.tensor(0.4, dtype=torch.float64)

    statistics, found = sparse_selected_gradients(
        weights, case.x, threshold, pre_acts=pre_acts if with_pre_acts else None
    )

    with torch.no_grad():
        active = pre_acts > threshold
        expected = reconstruction_loss_gradients(case.x, pre_acts, active, weights.decoder_rows, weights.b_dec)
        error = (pre_acts * active) @ weights.decoder_rows + weights.b_dec - case.x
    torch.testing.assert_close(found.encoder_rows, expected["W_enc"].T)
    torch.testing.assert_close(found.decoder_rows, expected["W_dec"])
    torch.testing.assert_close(found.b_enc, expected["b_enc"])
    torch.testing.assert_close(found.b_dec, expected["b_dec"])
    torch.testing.assert_close(statistics.squared_error, error.square().sum(1).mean())
    assert found.threshold.tolist() == [0.0] * 37
    assert statistics.fire_counts.tolist() == active.sum(0).tolist()
    assert statistics.l0 == pytest.approx(active.sum().item() / 23)
    assert statistics.density == pytest.approx(active.double().mean().item())


def test_a_given_choice_with_emphasis(make_case):
    case = make_case()
    weights = case.weights
    pre_acts = case.x @ weights.encoder_rows.T + weights.b_enc
    error = (pre_acts * (pre_acts > 0.4)) @ weights.decoder_rows + weights.b_dec - case.x
    total = (case.emphasis * error).square().sum(1).mean()
    names = ["encoder_rows", "b_enc", "decoder_rows", "b_dec"]
    expected = torch.autograd.grad(total, [getattr(weights, name) for name in names])

    threshold = torch.tensor(0.4, dtype=torch.float64)
    _, found = sparse_selected_gradients(weights, case.x, threshold, emphasis=case.emphasis)

    for name, gradient in zip(names, expected, strict=True):
        torch.testing.assert_close(getattr(found, name), gradient)


def test_weights_are_left_alone(make_case):
    case = make_case()
    before = case.weights.encoder_rows.detach().clone()

    sparse_gradients(case.weights, case.x, STEP, dead=case.dead)

    assert torch.equal(case.weights.encoder_rows, before)
    assert isinstance(case.weights.threshold, Parameter)
    assert case.weights.threshold.grad is None
