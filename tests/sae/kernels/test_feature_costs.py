"""A step penalty whose features cost different amounts: every path against autograd through the reference."""

from dataclasses import replace

import pytest
import torch

from sae.kernels.dispatch import loss_and_gradients
from sae.kernels.loss import LossSettings
from sae.kernels.reference import training_loss

COSTS = torch.rand(37, generator=torch.Generator().manual_seed(4)) * 3
LOSSES = {
    "plain": LossSettings("step", 0.7, 0.3, feature_costs=COSTS),
    "window open, pre-act": LossSettings(
        "step", 0.7, 0.3, gradient_through_window=True, pre_act_coefficient=0.4, feature_costs=COSTS
    ),
    "thresholds by penalty only": LossSettings(
        "step", 0.7, 0.3, reconstruction_moves_threshold=False, feature_costs=COSTS
    ),
    "in another unit": LossSettings("step", 0.7, 0.3, feature_costs=COSTS).divided(0.2),
}


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
@pytest.mark.parametrize("kernel", ["dense", "sparse"])
def test_gradients_are_those_of_autograd(make_case, assert_equals_autograd, kernel, loss):
    case = make_case()

    found = loss_and_gradients(case.weights, case.x, loss, dead=case.dead, emphasis=case.emphasis, kernel=kernel)

    assert_equals_autograd(found, case, loss, dead=case.dead, emphasis=case.emphasis)


def test_the_fused_path_agrees(make_case, assert_equals_autograd):
    pytest.importorskip("triton")
    case = make_case(dtype=torch.float32)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda":
        pytest.skip("on a GPU the fused path has a test of its own")

    found = loss_and_gradients(case.weights, case.x, LOSSES["plain"], kernel="triton")

    assert_equals_autograd(found, case, LOSSES["plain"], tolerance=1e-4)


def test_equal_costs_are_a_coefficient(make_case):
    case = make_case()
    doubled = LossSettings("step", 0.7, 0.3, feature_costs=torch.full((37,), 2.0))

    torch.testing.assert_close(
        training_loss(case.weights, case.x, doubled),
        training_loss(case.weights, case.x, LossSettings("step", 1.4, 0.3)),
    )


def test_the_penalty_is_what_active_features_cost(make_case):
    case = make_case()
    active = case.x @ case.weights.encoder_rows.T + case.weights.b_enc > case.weights.threshold

    statistics, _ = loss_and_gradients(case.weights, case.x, LOSSES["plain"], kernel="sparse")

    expected = 0.7 * (active.double() * COSTS.double()).sum(1).mean()
    torch.testing.assert_close(statistics.penalty, expected, check_dtype=False, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("sparsity", ["none", "quadratic", "tanh"])
def test_other_penalties_have_no_costs(sparsity):
    settings = LossSettings(sparsity, 0.7, 0.3, l0_target=3.0)
    with pytest.raises(ValueError, match=f"feature_costs stand beside sparsity '{sparsity}', expected them"):
        replace(settings, feature_costs=COSTS)
