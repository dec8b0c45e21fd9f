"""Nested prefixes against autograd in float64 over dense prefix sums, and one prefix against BatchTopK."""

from dataclasses import fields

import pytest
import torch

from sae.kernels.nested import nested_gradients
from sae.kernels.selection import selected_gradients
from sae.kernels.shadows import BFloat16Shadows

WEIGHTS = ("encoder_rows", "b_enc", "decoder_rows", "b_dec")
SIZES = {"uneven": (1, 5, 21, 37), "halves": (18, 37), "whole": (37,), "all but one": (36, 37)}


@pytest.fixture
def case(make_case):
    return make_case()


@pytest.fixture
def pre_acts(case):
    return (case.x @ case.weights.encoder_rows.T + case.weights.b_enc).detach()


def reference(case, active, sizes, emphasis):
    """The squared error of every prefix, each decoded by itself, and the gradients of their sum."""
    weights, x = case.weights, case.x
    feature_acts = (x @ weights.encoder_rows.T + weights.b_enc) * active
    errors = [feature_acts[:, :size] @ weights.decoder_rows[:size] + weights.b_dec - x for size in sizes]
    loss = sum((emphasis * error).square().sum(1).mean() for error in errors)
    squared = torch.stack([error.square().sum(1).mean() for error in errors])
    return squared.detach(), torch.autograd.grad(loss, [getattr(weights, name) for name in WEIGHTS])


@pytest.mark.parametrize("kernel", ["dense", "sparse"])
@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
@pytest.mark.parametrize("emphasised", [False, True])
@pytest.mark.parametrize("threshold", [0.0, 0.4, 2.0, 100.0])
def test_gradients_are_those_of_autograd_through_every_prefix(case, pre_acts, kernel, sizes, emphasised, threshold):
    emphasis = case.emphasis if emphasised else None
    cut = threshold / case.emphasis if emphasised else torch.tensor(threshold)

    statistics, gradients, squared = nested_gradients(
        case.weights, case.x, cut, sizes, pre_acts=pre_acts, emphasis=emphasis, kernel=kernel
    )

    active = pre_acts > cut
    expected, of_autograd = reference(case, active, sizes, case.emphasis if emphasised else torch.ones(1))
    for name, gradient in zip(WEIGHTS, of_autograd, strict=True):
        torch.testing.assert_close(getattr(gradients, name), gradient, atol=1e-10, rtol=1e-10)
    assert not gradients.threshold.any()
    torch.testing.assert_close(squared, expected, atol=1e-10, rtol=1e-10)
    assert float(statistics.squared_error + statistics.penalty) == pytest.approx(float(expected.sum()), rel=1e-10)
    assert float(statistics.squared_error) == pytest.approx(float(expected[-1]), rel=1e-10)
    assert statistics.fire_counts.tolist() == active.sum(0).tolist()
    assert statistics.l0 == pytest.approx(float(active.sum(1).float().mean()))
    assert statistics.kernel == kernel


@pytest.mark.parametrize("kernel", ["dense", "sparse"])
def test_the_whole_dictionary_as_the_only_prefix_is_batch_topk_bit_for_bit(make_case, kernel):
    case = make_case(dtype=torch.float32)
    pre_acts = torch.nn.functional.linear(case.x, case.weights.encoder_rows, case.weights.b_enc).detach()
    threshold, options = torch.tensor(0.4), {"pre_acts": pre_acts, "emphasis": case.emphasis, "kernel": kernel}
    size = case.weights.d_sae

    statistics, gradients, _ = nested_gradients(case.weights, case.x, threshold, [size], **options)

    plain, of_plain = selected_gradients(case.weights, case.x, threshold, **options)
    for field in fields(gradients):
        assert torch.equal(getattr(gradients, field.name), getattr(of_plain, field.name)), field.name
    assert torch.equal(statistics.squared_error, plain.squared_error)
    assert float(statistics.penalty) == 0


def test_a_feature_of_the_last_part_hears_of_the_whole_alone(case, pre_acts):
    threshold, sizes = torch.tensor(0.4), (18, 37)

    _, nested, _ = nested_gradients(case.weights, case.x, threshold, sizes, pre_acts=pre_acts)

    _, plain = selected_gradients(case.weights, case.x, threshold, pre_acts=pre_acts)
    torch.testing.assert_close(nested.decoder_rows[18:], plain.decoder_rows[18:])
    assert not torch.allclose(nested.decoder_rows[:18], plain.decoder_rows[:18])


def test_with_shadows_the_dense_path_rounds_its_products(make_case):
    case = make_case(dtype=torch.float32)
    pre_acts = (case.x @ case.weights.encoder_rows.T + case.weights.b_enc).detach()
    shadows = BFloat16Shadows.of(case.weights, None)
    options = {"pre_acts": pre_acts, "kernel": "dense"}

    _, exact, _ = nested_gradients(case.weights, case.x, torch.tensor(0.4), (18, 37), **options)
    _, rounded, _ = nested_gradients(case.weights, case.x, torch.tensor(0.4), (18, 37), **options, shadows=shadows)

    assert not torch.equal(rounded.encoder_rows, exact.encoder_rows)
    torch.testing.assert_close(rounded.encoder_rows, exact.encoder_rows, atol=0.05, rtol=0.05)


def test_on_a_processor_auto_is_sparse(case, pre_acts):
    statistics, *_ = nested_gradients(case.weights, case.x, torch.tensor(0.0), (18, 37), pre_acts=pre_acts)

    assert statistics.kernel == "sparse"


@pytest.mark.parametrize(
    ("sizes", "kernel", "message"),
    [
        ((18, 37), "triton", "kernel is 'triton', but nested prefixes need one of auto, dense, sparse"),
        ((18, 36), "auto", r"sizes are \[18, 36\], expected increasing ones from 1 on that end at 37"),
        ((18, 18, 37), "auto", "expected increasing"),
        ((0, 37), "auto", "expected increasing"),
        ((), "auto", "expected increasing"),
    ],
)
def test_what_cannot_be_is_refused(case, pre_acts, sizes, kernel, message):
    with pytest.raises(ValueError, match=message):
        nested_gradients(case.weights, case.x, torch.tensor(0.4), sizes, pre_acts=pre_acts, kernel=kernel)
