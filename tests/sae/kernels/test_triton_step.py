"""The Triton kernels against autograd through the reference in float64: in Triton's interpreter, or on a GPU."""

from dataclasses import fields

import pytest
import torch
from torch.nn import Parameter

from sae.kernels import dispatch
from sae.kernels.dispatch import loss_and_gradients, loss_and_update
from sae.kernels.loss import LossSettings
from sae.kernels.shadows import BFloat16Shadows
from sae.kernels.weights import DictionaryWeights

pytest.importorskip("triton", reason="triton is not installed")

from sae.kernels import triton_columns, triton_decode
from sae.kernels.triton_step import RowOverflowError, triton_gradients, triton_update

STEP = LossSettings("step", 0.7, 0.3)
EVERYTHING = LossSettings("tanh", 0.7, 0.6, gradient_through_window=True, pre_act_coefficient=0.4)
DIVIDED = EVERYTHING.divided(0.3)
COUNTED = LossSettings("quadratic", 0.7, 0.3, l0_target=3.0, reconstruction_moves_threshold=False)
interpreted = pytest.mark.usefixtures("triton_interpreter")


@pytest.fixture
def case(make_case):
    """Twelve is no power of two."""
    return make_case(tokens=6, d_model=12, d_sae=11, dtype=torch.float32)


@interpreted
@pytest.mark.parametrize(
    "loss", [STEP, EVERYTHING, DIVIDED, COUNTED], ids=["step", "everything", "divided", "counted window"]
)
def test_gradients_equal_autograd(case, loss, assert_equals_autograd):
    found = triton_gradients(case.weights, case.x, loss, capacity=11, dead=case.dead, emphasis=case.emphasis)

    assert_equals_autograd(found, case, loss, dead=case.dead, emphasis=case.emphasis, tolerance=2e-5)
    assert found[0].kernel == "triton"


@interpreted
def test_a_width_of_several_tiles_and_long_columns_in_chunks(case, monkeypatch, assert_equals_autograd):
    monkeypatch.setattr(triton_decode, "LARGEST_TILE", 8)
    monkeypatch.setattr(triton_columns, "CHUNK_ENTRIES", 2)
    with torch.no_grad():
        case.weights.b_enc[3] = 5.0

    found = triton_gradients(case.weights, case.x, STEP, capacity=11)

    assert found[0].fire_counts[3] == 6
    assert_equals_autograd(found, case, STEP, tolerance=2e-5)


@interpreted
def test_empty_rows_and_one_hot_feature(case, assert_equals_autograd):
    with torch.no_grad():
        case.weights.b_enc.fill_(-100.0)
        case.weights.b_enc[5] = 0.5
        case.weights.threshold.fill_(0.5)

    found = triton_gradients(case.weights, case.x, STEP, capacity=4)

    assert 0 < found[0].l0 < 1
    assert_equals_autograd(found, case, STEP, tolerance=2e-5)


@interpreted
def test_nothing_at_all(case, assert_equals_autograd):
    with torch.no_grad():
        case.weights.b_enc.fill_(-100.0)

    found = triton_gradients(case.weights, case.x, STEP, capacity=4, dead=case.dead)

    assert_equals_autograd(found, case, STEP, dead=case.dead, tolerance=2e-5)


@interpreted
def test_ties_at_the_threshold_are_inactive(case, assert_equals_autograd):
    loss = LossSettings("step", 0.7, 0.5)
    with torch.no_grad():
        case.weights.encoder_rows.zero_()
        case.weights.threshold.fill_(0.5)
        case.weights.b_enc.copy_(torch.tensor([0.25, 0.5, 0.75, 0.5 + 2**-20]).repeat(3)[:11])

    found = triton_gradients(case.weights, case.x, loss, capacity=11)

    assert_equals_autograd(found, case, loss, tolerance=2e-5)
    assert found[0].fire_counts[:4].tolist() == [0, 0, 6, 6]
    assert found[0].window_counts[:4].tolist() == [0, 6, 0, 6]


@interpreted
def test_a_row_that_overflows_is_told_and_nothing_is_moved(case):
    optimiser = adam(case.weights)
    before = case.weights.encoder_rows.detach().clone()

    with pytest.raises(RowOverflowError):
        triton_update(case.weights, case.x, STEP, optimiser, capacity=2)

    assert torch.equal(case.weights.encoder_rows, before)
    assert not optimiser.state


@interpreted
@pytest.mark.parametrize(("break_even", "path"), [(0.01, "dense"), (1.0, "sparse")])
def test_an_overflowing_step_is_done_again_on_another_path(case, monkeypatch, assert_equals_autograd, break_even, path):
    monkeypatch.setattr(dispatch, "SMALLEST_CAPACITY", 2)
    monkeypatch.setitem(dispatch.BREAK_EVEN_DENSITY, case.x.device.type, break_even)

    found = loss_and_gradients(case.weights, case.x, STEP, kernel="triton", last_density=0.001)

    assert found[0].kernel == path
    assert_equals_autograd(found, case, STEP, tolerance=2e-5)


@interpreted
def test_an_overflowing_update_is_done_again_on_another_path(case, monkeypatch):
    monkeypatch.setattr(dispatch, "SMALLEST_CAPACITY", 2)
    optimiser = adam(case.weights)

    statistics = loss_and_update(case.weights, case.x, STEP, optimiser, kernel="triton", last_density=0.001)

    assert statistics.kernel == "dense"
    assert {float(state["step"]) for state in optimiser.state.values()} == {1.0}


@interpreted
def test_two_runs_give_the_same_bits(case):
    first, second = (triton_gradients(case.weights, case.x, STEP, capacity=11)[1] for _ in range(2))

    for field in fields(first):
        assert torch.equal(getattr(first, field.name), getattr(second, field.name))


def adam(weights: DictionaryWeights) -> torch.optim.Adam:
    rows = [weights.encoder_rows, weights.decoder_rows, weights.b_enc, weights.b_dec]
    groups = [{"params": rows}, {"params": [weights.threshold], "lr": 1e-4}]
    return torch.optim.Adam(groups, lr=1e-2, betas=(0.5, 0.999), fused=True)


def copy_of(weights: DictionaryWeights) -> DictionaryWeights:
    return DictionaryWeights(
        **{field.name: Parameter(getattr(weights, field.name).detach().clone()) for field in fields(weights)}
    )


@interpreted
@pytest.mark.parametrize("normalise_decoder", [True, False])
def test_a_fused_step_leaves_the_checkpoint_of_a_two_phase_step(case, monkeypatch, normalise_decoder):
    monkeypatch.setattr(triton_decode, "LARGEST_TILE", 8)
    checkpoints = []
    for kernel in ("dense", "triton"):
        weights = copy_of(case.weights)
        optimiser = adam(weights)
        options = {"normalise_decoder": normalise_decoder, "last_density": 0.1, "dead": case.dead}
        # the state passes from one way to the other
        for chosen in ("dense", kernel, "dense"):
            loss_and_update(weights, case.x, EVERYTHING, optimiser, kernel=chosen, **options)
        state = [tensor for of_weight in optimiser.state.values() for tensor in of_weight.values()]
        checkpoints.append([getattr(weights, field.name) for field in fields(weights)] + state)

    assert len(checkpoints[0]) == 5 + 5 * 3
    for two_phase, fused in zip(*checkpoints, strict=True):
        torch.testing.assert_close(two_phase, fused, atol=2e-5, rtol=2e-5)


@interpreted
def test_a_fused_step_brings_the_shadows_up_to_date(case):
    shadows = BFloat16Shadows.of(case.weights, EVERYTHING.bandwidth)
    before = case.weights.decoder_rows.detach().clone()

    triton_update(case.weights, case.x, EVERYTHING, adam(case.weights), capacity=11, shadows=shadows)

    assert not torch.equal(case.weights.decoder_rows, before)
    # the interpreter cuts off where a GPU rounds
    one_step = {"rtol": 2**-7, "atol": 0, "check_dtype": False}
    torch.testing.assert_close(shadows.decoder_rows, case.weights.decoder_rows.detach(), **one_step)
    torch.testing.assert_close(shadows.encoder_rows, case.weights.encoder_rows.detach(), **one_step)


@interpreted
def test_gradients_from_shadows_are_near(case):
    shadows = BFloat16Shadows.of(case.weights, 0.001)
    loss = LossSettings("step", 0.7, 0.001)

    _, exact = triton_gradients(case.weights, case.x, loss, capacity=11)
    _, rounded = triton_gradients(case.weights, case.x, loss, capacity=11, shadows=shadows)

    for name in ("encoder_rows", "decoder_rows"):
        wanted = getattr(exact, name)
        assert (getattr(rounded, name) - wanted).norm() < 0.02 * wanted.norm()


@interpreted
@pytest.mark.parametrize("option", [{"amsgrad": True}, {"weight_decay": 0.1}, {"maximize": True}])
def test_optimisers_that_the_fused_step_is_not_are_refused(case, option):
    optimiser = torch.optim.Adam([case.weights.encoder_rows, case.weights.decoder_rows], **option)

    with pytest.raises(ValueError, match=f"the optimiser has {next(iter(option))}"):
        triton_update(case.weights, case.x, STEP, optimiser, capacity=11)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("d_model", [96, 3072])
def test_compiled_kernels_equal_the_dense_path(make_case, d_model):
    case = make_case(tokens=512, d_model=d_model, d_sae=2048, dtype=torch.float32)
    weights = DictionaryWeights(
        **{field.name: Parameter(getattr(case.weights, field.name).cuda()) for field in fields(case.weights)}
    )
    x, dead = case.x.cuda(), case.dead.cuda()

    for loss in (STEP, EVERYTHING, COUNTED):
        first, again = (triton_gradients(weights, x, loss, capacity=2048, dead=dead)[1] for _ in range(2))
        _, dense = loss_and_gradients(weights, x, loss, dead=dead, kernel="dense")
        for field in fields(dense):
            assert torch.equal(getattr(first, field.name), getattr(again, field.name))
            torch.testing.assert_close(getattr(first, field.name), getattr(dense, field.name), atol=1e-3, rtol=1e-3)
