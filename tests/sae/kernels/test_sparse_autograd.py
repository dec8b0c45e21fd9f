"""The modular form: an arbitrary upstream gradient reaches everything as in the dense reference."""

import pytest
import torch

from sae.kernels.loss import LossSettings
from sae.kernels.reference import jump_relu, step
from sae.kernels.sparse_autograd import reconstruct

NAMES = ["encoder_rows", "b_enc", "decoder_rows", "b_dec", "threshold"]


@pytest.mark.parametrize("through_window", [False, True])
@pytest.mark.parametrize("moves_threshold", [False, True])
def test_an_arbitrary_loss_differentiates_as_in_the_reference(make_case, through_window, moves_threshold):
    case = make_case()
    weights, x = case.weights, case.x.requires_grad_()
    options = {"bandwidth": 0.6, "gradient_through_window": through_window}
    loss = LossSettings("none", 0.0, reconstruction_moves_threshold=moves_threshold, **options)
    inputs = [getattr(weights, name) for name in NAMES] + [x]

    def outcome(x_hat, l0):
        return (x_hat.sin() * case.emphasis).sum() + (l0.square() * case.emphasis[:, 0]).sum()

    x_hat, l0 = reconstruct(weights, x, loss)
    found = torch.autograd.grad(outcome(x_hat, l0), inputs)

    pre_acts = x @ weights.encoder_rows.T + weights.b_enc
    moved = weights.threshold if moves_threshold else weights.threshold.detach()
    expected_x_hat = jump_relu(pre_acts, moved, **options) @ weights.decoder_rows + weights.b_dec
    expected_l0 = step(pre_acts, weights.threshold, **options).sum(1)
    expected = torch.autograd.grad(outcome(expected_x_hat, expected_l0), inputs)

    torch.testing.assert_close(x_hat, expected_x_hat)
    assert l0.tolist() == expected_l0.tolist()
    for name, gradient, wanted in zip([*NAMES, "x"], found, expected, strict=True):
        torch.testing.assert_close(gradient, wanted, msg=lambda text, name=name: f"{name}: {text}")


def test_it_can_be_differentiated_once_only(make_case):
    case = make_case()
    x_hat, _ = reconstruct(case.weights, case.x, LossSettings("none", 0.0, 0.3))
    (gradient,) = torch.autograd.grad(x_hat.square().sum(), [case.weights.b_enc], create_graph=True)

    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()
