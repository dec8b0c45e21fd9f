"""bfloat16 copies, and where they are too coarse for the window."""

import pytest
import torch

from sae.kernels.dispatch import loss_and_gradients, loss_and_update
from sae.kernels.loss import LossSettings
from sae.kernels.shadows import BFloat16Shadows, representable_values


@pytest.mark.parametrize(
    ("threshold", "bandwidth", "n_values"),
    # Gemma Scope's window holds two, SAELens's defaults and Anthropic's scale hold many
    [(0.1, 0.001, 2), (1.105, 2.0, 256), (0.01, 0.05, 410)],
)
def test_values_in_the_window(threshold, bandwidth, n_values):
    found = representable_values(torch.tensor([threshold]), bandwidth)

    assert found.item() == pytest.approx(n_values, rel=0.05)


def test_counted_one_by_one():
    numbers = torch.arange(2**15, dtype=torch.int32).to(torch.int16).view(torch.bfloat16).double()
    inside = ((numbers - 0.3).abs() < 0.02).sum()

    assert representable_values(torch.tensor([0.3]), 0.04).item() == pytest.approx(inside.item(), abs=1)


def test_pre_activations_stay_float32_where_the_window_is_narrow(make_case):
    case = make_case(dtype=torch.float32)
    narrow, wide = (BFloat16Shadows.of(case.weights, bandwidth) for bandwidth in (0.001, 1.0))

    assert not narrow.rounds_pre_acts
    assert wide.rounds_pre_acts
    assert narrow.products(case.x).dtype == torch.float32
    assert wide.products(case.x).dtype == torch.bfloat16


def test_the_dense_path_reads_the_shadows(make_case):
    case = make_case(dtype=torch.float32)
    loss = LossSettings("step", 0.7, 1.0)
    shadows = BFloat16Shadows.of(case.weights, loss.bandwidth)

    _, exact = loss_and_gradients(case.weights, case.x, loss, kernel="dense")
    _, rounded = loss_and_gradients(case.weights, case.x, loss, kernel="dense", shadows=shadows)

    assert rounded.decoder_rows.dtype == torch.float32
    assert not torch.equal(exact.decoder_rows, rounded.decoder_rows)
    relative = (exact.decoder_rows - rounded.decoder_rows).norm() / exact.decoder_rows.norm()
    assert relative < 0.05


def test_shadows_follow_the_masters(make_case):
    case = make_case(dtype=torch.float32)
    loss = LossSettings("step", 0.7, 1.0)
    shadows = BFloat16Shadows.of(case.weights, loss.bandwidth)
    weights = case.weights
    every = [weights.encoder_rows, weights.b_enc, weights.decoder_rows, weights.b_dec, weights.threshold]

    loss_and_update(weights, case.x, loss, torch.optim.Adam(every, lr=0.1), kernel="dense", shadows=shadows)

    assert torch.equal(shadows.encoder_rows, weights.encoder_rows.bfloat16())
    assert torch.equal(shadows.decoder_rows, weights.decoder_rows.bfloat16())
