"""The reference forms against the published formulas, in float64."""

import pytest
import torch

from sae.kernels.reference import (
    batch_topk,
    jump_relu,
    reconstruction_loss,
    reconstruction_loss_gradients,
    step,
)

BANDWIDTH = 0.5
# threshold 1: the window is (0.75, 1.25); one entry on each side of the gate, one outside on each side
PRE_ACTS = torch.tensor([[0.2, 0.9, 1.1, 3.0]], dtype=torch.float64)
WINDOW = torch.tensor([[0.0, 1.0, 1.0, 0.0]], dtype=torch.float64)
ACTIVE = torch.tensor([[0.0, 0.0, 1.0, 1.0]], dtype=torch.float64)
UPSTREAM = torch.tensor([[1.0, 2.0, 3.0, 5.0]], dtype=torch.float64)


def gradients(function, threshold=1.0, pre_acts=PRE_ACTS, **options):
    pre_acts = pre_acts.clone().requires_grad_()
    thresholds = torch.full((pre_acts.shape[1],), threshold, dtype=torch.float64, requires_grad=True)
    (function(pre_acts, thresholds, bandwidth=BANDWIDTH, **options) * UPSTREAM).sum().backward()
    return pre_acts.grad, thresholds.grad


def test_values():
    threshold = torch.ones(4, dtype=torch.float64)

    assert jump_relu(PRE_ACTS, threshold, bandwidth=BANDWIDTH).tolist() == [[0.0, 0.0, 1.1, 3.0]]
    assert torch.equal(step(PRE_ACTS, threshold, bandwidth=BANDWIDTH), ACTIVE)


def test_jump_relu_gradients():
    to_pre_acts, to_threshold = gradients(jump_relu)

    torch.testing.assert_close(to_pre_acts, UPSTREAM * ACTIVE)
    torch.testing.assert_close(to_threshold, (-1.0 / BANDWIDTH * WINDOW * UPSTREAM)[0])


def test_step_gradients():
    to_pre_acts, to_threshold = gradients(step)

    assert to_pre_acts.tolist() == [[0.0] * 4]
    torch.testing.assert_close(to_threshold, (-1 / BANDWIDTH * WINDOW * UPSTREAM)[0])


def test_gradient_through_the_window_reaches_the_pre_activations():
    jump, _ = gradients(jump_relu, gradient_through_window=True)
    l0, _ = gradients(step, gradient_through_window=True)

    torch.testing.assert_close(jump, UPSTREAM * (ACTIVE + WINDOW / BANDWIDTH))
    torch.testing.assert_close(l0, UPSTREAM * WINDOW / BANDWIDTH)


def test_a_threshold_of_zero_still_gets_gradient_from_the_step():
    _, to_threshold = gradients(step, threshold=0.0)

    assert to_threshold.tolist() == [-2.0, 0.0, 0.0, 0.0]


def test_negative_pre_acts_stay_off_at_threshold_zero():
    assert jump_relu(-PRE_ACTS, torch.zeros(4, dtype=torch.float64), bandwidth=BANDWIDTH).abs().sum() == 0


def test_reconstruction_loss_sums_over_width_and_averages_over_tokens():
    assert reconstruction_loss(torch.ones(3, 4), torch.zeros(3, 4)) == 4


def test_closed_form_gradients_equal_autograd():
    generator = torch.Generator().manual_seed(0)
    draw = lambda *shape: torch.randn(*shape, generator=generator, dtype=torch.float64)  # noqa: E731
    x, active = draw(6, 5), draw(6, 9) > 0.5
    weights = {"W_enc": draw(5, 9), "b_enc": draw(9), "W_dec": draw(9, 5), "b_dec": draw(5)}
    for weight in weights.values():
        weight.requires_grad_()
    pre_acts = x @ weights["W_enc"] + weights["b_enc"]
    reconstruction_loss((pre_acts * active) @ weights["W_dec"] + weights["b_dec"], x).backward()

    with torch.no_grad():
        closed = reconstruction_loss_gradients(x, pre_acts, active, weights["W_dec"], weights["b_dec"])

    for name, weight in weights.items():
        torch.testing.assert_close(closed[name], weight.grad)


def test_batch_topk_shares_one_budget_between_tokens():
    pre_acts = torch.tensor([[9.0, 8.0, 7.0], [1.0, -2.0, 6.0]])

    assert batch_topk(pre_acts, k=1.5).tolist() == [[9.0, 8.0, 7.0], [0.0, 0.0, 0.0]]
    assert batch_topk(pre_acts, k=2).tolist() == [[9.0, 8.0, 7.0], [0.0, 0.0, 6.0]]


@pytest.mark.parametrize(("k", "n_active"), [(0, 0), (3, 2), (100, 2)])
def test_batch_topk_keeps_no_more_than_the_positive_ones(k, n_active):
    pre_acts = torch.tensor([[1.0, -1.0, 2.0], [-3.0, -4.0, -5.0]])

    assert (batch_topk(pre_acts, k=k) > 0).sum() == n_active
