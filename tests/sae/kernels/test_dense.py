"""The dense path: every gradient of every loss equals autograd."""

import pytest
import torch

from sae.kernels.dispatch import loss_and_gradients
from sae.kernels.loss import LossSettings


def test_gradients_equal_autograd(make_case, loss, assert_equals_autograd):
    case = make_case()

    found = loss_and_gradients(case.weights, case.x, loss, dead=case.dead, kernel="dense")

    assert_equals_autograd(found, case, loss, dead=case.dead)
    assert found[0].kernel == "dense"


def test_emphasis_weighs_the_squared_error_and_not_the_penalty(make_case, loss, assert_equals_autograd):
    case = make_case(seed=1)

    found = loss_and_gradients(case.weights, case.x, loss, dead=case.dead, emphasis=case.emphasis, kernel="dense")

    assert_equals_autograd(found, case, loss, dead=case.dead, emphasis=case.emphasis)


def test_without_dead_features_there_is_no_pre_activation_loss(make_case, assert_equals_autograd):
    case = make_case()
    loss = LossSettings("none", 0.0, 0.3, pre_act_coefficient=0.4)

    found = loss_and_gradients(case.weights, case.x, loss, kernel="dense")

    assert_equals_autograd(found, case, loss)
    assert found[0].penalty == 0


def test_density_counts_the_window_only_where_it_is_gathered(make_case):
    case = make_case()
    densities = [
        loss_and_gradients(case.weights, case.x, loss, kernel="dense")[0].density
        for loss in (
            LossSettings("step", 1.0, 0.3, reconstruction_moves_threshold=False),
            LossSettings("step", 1.0, 0.3),
        )
    ]
    pre_acts = case.x @ case.weights.encoder_rows.T + case.weights.b_enc - case.weights.threshold

    assert densities[0] == pytest.approx((pre_acts > 0).double().mean().item())
    assert densities[1] == pytest.approx((pre_acts > -0.15).double().mean().item())


def test_gradients_are_handed_to_an_optimiser(make_case):
    case = make_case()
    _, gradients = loss_and_gradients(case.weights, case.x, LossSettings("step", 1.0, 0.3), kernel="dense")

    gradients.assign(case.weights)

    assert case.weights.threshold.grad is gradients.threshold
    assert torch.equal(case.weights.encoder_rows.grad, gradients.encoder_rows)


def test_another_width_is_refused(make_case):
    case = make_case()

    with pytest.raises(ValueError, match=r"x has width 5, expected 12, the d_model of the dictionary"):
        loss_and_gradients(case.weights, case.x[:, :5].contiguous(), LossSettings("step", 1.0, 0.3))


def test_an_unknown_kernel_is_refused(make_case):
    case = make_case()

    with pytest.raises(ValueError, match="kernel is 'fast', expected one of auto, dense, sparse, triton"):
        loss_and_gradients(case.weights, case.x, LossSettings("step", 1.0, 0.3), kernel="fast")
