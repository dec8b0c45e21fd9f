"""Which path takes a step, and that all of them lead to the same place."""

from dataclasses import fields

import pytest
import torch

from sae.kernels import dispatch
from sae.kernels.dispatch import choose_kernel, loss_and_gradients, loss_and_update, row_capacity, support_density
from sae.kernels.loss import LossSettings

STEP = LossSettings("step", 0.7, 0.3)


def test_auto_goes_by_the_last_density(make_case):
    weights = make_case().weights

    assert choose_kernel("auto", weights, 0.01) == "sparse"
    assert choose_kernel("auto", weights, 0.5) == "dense"
    assert choose_kernel("dense", weights, 0.01) == "dense"


def test_the_choice_is_in_the_statistics(make_case):
    case = make_case()

    kernels = [
        loss_and_gradients(case.weights, case.x, STEP, last_density=density)[0].kernel for density in (0.01, 0.5)
    ]

    assert kernels == ["sparse", "dense"]


def test_without_a_last_density_it_is_measured(make_case):
    case = make_case()
    assert loss_and_gradients(case.weights, case.x, STEP)[0].kernel == "dense"
    with torch.no_grad():
        case.weights.b_enc.fill_(-100.0)

    assert loss_and_gradients(case.weights, case.x, STEP)[0].kernel == "sparse"


def test_the_measured_density_is_that_of_the_step(make_case):
    case = make_case()

    statistics, _ = loss_and_gradients(case.weights, case.x, STEP, kernel="sparse")

    assert support_density(case.weights, case.x, STEP) == pytest.approx(statistics.density)


@pytest.mark.parametrize(
    ("d_sae", "density", "capacity"), [(65536, 0.001, 512), (65536, 0.0, 64), (40, 0.5, 40), (16384, 0.0054, 512)]
)
def test_rows_hold_a_few_times_the_mean(d_sae, density, capacity):
    assert row_capacity(d_sae, density) == capacity


def test_triton_is_refused_where_there_is_no_gpu(make_case, monkeypatch):
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    monkeypatch.setattr(dispatch, "find_spec", lambda name: name)
    case = make_case(dtype=torch.float32)

    with pytest.raises(
        ValueError, match="kernel is 'triton', but the weights lie on cpu, not on a CUDA device; choose"
    ):
        loss_and_gradients(case.weights, case.x, STEP, kernel="triton")


def test_triton_is_refused_where_it_is_not_installed(make_case, monkeypatch):
    monkeypatch.setattr(dispatch, "find_spec", lambda name: None)
    case = make_case(dtype=torch.float32)

    with pytest.raises(
        ValueError, match="kernel is 'triton', but triton is not installed; choose auto, dense or sparse"
    ):
        loss_and_gradients(case.weights, case.x, STEP, kernel="triton")


def test_an_update_moves_every_weight_and_normalises_the_decoder(make_case):
    moved = []
    for kernel in ("dense", "sparse"):
        case = make_case()
        weights = [getattr(case.weights, field.name) for field in fields(case.weights)]
        optimiser = torch.optim.Adam(weights, lr=0.01)
        before = [weight.detach().clone() for weight in weights]
        loss_and_update(case.weights, case.x, STEP, optimiser, kernel=kernel)
        assert all((weight != old).any() for weight, old in zip(weights, before, strict=True))
        torch.testing.assert_close(case.weights.decoder_rows.norm(dim=1), torch.ones(37, dtype=torch.float64))
        moved.append(weights)

    for dense, sparse in zip(*moved, strict=True):
        torch.testing.assert_close(dense, sparse)
