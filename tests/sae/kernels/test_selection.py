"""A given choice of features, taken by every path, against autograd."""

import pytest
import torch

from sae.kernels import dispatch
from sae.kernels.selection import selected_gradients
from sae.kernels.shadows import BFloat16Shadows

WEIGHTS = ("encoder_rows", "b_enc", "decoder_rows", "b_dec")


@pytest.fixture
def case(make_case):
    return make_case(dtype=torch.float32)


@pytest.fixture
def pre_acts(case):
    return (case.x @ case.weights.encoder_rows.T + case.weights.b_enc).detach()


@pytest.fixture
def threshold(pre_acts):
    """One of the pre-activations, as the batch's threshold is: it ties with itself and stays inactive."""
    return pre_acts.flatten().sort().values[-200]


def check(found, case, pre_acts, threshold, *, error_weight=1.0, tolerance=2e-5):
    statistics, gradients = found
    weights, active = case.weights, pre_acts > threshold
    error = (case.x @ weights.encoder_rows.T + weights.b_enc) * active @ weights.decoder_rows + weights.b_dec - case.x
    loss = error_weight * (case.emphasis * error).square().sum(1).mean()
    expected = torch.autograd.grad(loss, [getattr(weights, name) for name in WEIGHTS])
    for name, gradient in zip(WEIGHTS, expected, strict=True):
        torch.testing.assert_close(getattr(gradients, name), gradient, atol=tolerance, rtol=tolerance)
    assert not gradients.threshold.any()
    assert statistics.fire_counts.tolist() == active.sum(0).tolist()
    assert statistics.density == pytest.approx(float(active.float().mean()))


@pytest.mark.parametrize("kernel", ["dense", "sparse"])
def test_every_path_takes_a_batch_threshold(case, pre_acts, threshold, kernel):
    found = selected_gradients(
        case.weights, case.x, threshold, pre_acts=pre_acts, emphasis=case.emphasis, error_weight=3.0, kernel=kernel
    )

    assert found[0].kernel == kernel
    check(found, case, pre_acts, threshold, error_weight=3.0)


@pytest.mark.usefixtures("triton_interpreter")
def test_triton_takes_a_batch_threshold(case, pre_acts, threshold):
    found = selected_gradients(
        case.weights, case.x, threshold, pre_acts=pre_acts, emphasis=case.emphasis, error_weight=3.0, kernel="triton"
    )

    assert found[0].kernel == "triton"
    check(found, case, pre_acts, threshold, error_weight=3.0)


@pytest.mark.usefixtures("triton_interpreter")
def test_a_row_that_overflows_is_taken_by_the_sparse_path(case, pre_acts, threshold, monkeypatch):
    monkeypatch.setattr(dispatch, "SMALLEST_CAPACITY", 2)
    monkeypatch.setattr(dispatch, "CAPACITY_MARGIN", 0)

    found = selected_gradients(
        case.weights, case.x, threshold, pre_acts=pre_acts, emphasis=case.emphasis, kernel="triton"
    )

    assert found[0].kernel == "sparse"
    check(found, case, pre_acts, threshold)


def test_on_a_processor_auto_is_sparse_at_any_density(case, pre_acts):
    statistics, _ = selected_gradients(case.weights, case.x, torch.tensor(0.0), pre_acts=pre_acts)

    assert statistics.density > 0.3
    assert statistics.kernel == "sparse"


@pytest.mark.parametrize("kernel", ["dense", "triton"])
def test_a_choice_token_by_token_is_refused_by_other_paths(case, pre_acts, kernel):
    per_token = 0.4 / case.emphasis

    with pytest.raises(ValueError, match=f"kernel is '{kernel}', but under emphasis .*; choose auto or sparse"):
        selected_gradients(case.weights, case.x, per_token, pre_acts=pre_acts, kernel=kernel)

    statistics, _ = selected_gradients(case.weights, case.x, per_token, pre_acts=pre_acts)
    assert statistics.fire_counts.tolist() == (pre_acts > per_token).sum(0).tolist()


def test_triton_is_refused_where_it_cannot_run(case, pre_acts, monkeypatch):
    monkeypatch.setattr(dispatch, "find_spec", lambda name: None)

    with pytest.raises(ValueError, match="kernel is 'triton', but triton is not installed; choose"):
        selected_gradients(case.weights, case.x, torch.tensor(0.4), pre_acts=pre_acts, kernel="triton")


def test_without_a_window_pre_activations_stay_float32(case):
    assert not BFloat16Shadows.of(case.weights, None).rounds_pre_acts
