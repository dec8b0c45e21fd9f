"""Dictionaries and losses on which every path is compared with autograd through the reference."""

from collections.abc import Callable
from dataclasses import dataclass, fields

import pytest
import torch
from torch import Tensor
from torch.nn import Parameter

from sae.kernels.loss import LossSettings, StepStatistics, WeightGradients
from sae.kernels.reference import training_loss
from sae.kernels.weights import DictionaryWeights


@dataclass(frozen=True, eq=False)
class Case:
    """A dictionary, a batch, and what may be special about features and tokens."""

    weights: DictionaryWeights
    x: Tensor
    dead: Tensor
    emphasis: Tensor


def random_case(
    tokens: int = 23, d_model: int = 12, d_sae: int = 37, *, seed: int = 0, dtype: torch.dtype = torch.float64
) -> Case:
    """Every third feature active or so, thresholds that differ, decoder rows that are not unit, dead features."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    threshold = draw(d_sae).abs() * 0.5 + 0.1
    weights = DictionaryWeights(
        encoder_rows=Parameter((draw(d_sae, d_model) / d_model**0.5).to(dtype)),
        b_enc=Parameter((draw(d_sae) * 0.2).to(dtype)),
        decoder_rows=Parameter((draw(d_sae, d_model) / d_model**0.5).to(dtype)),
        b_dec=Parameter((draw(d_model) * 0.3).to(dtype)),
        threshold=Parameter(threshold.to(dtype)),
    )
    dead = draw(d_sae) > 0.8
    dead[0] = True
    return Case(weights, draw(tokens, d_model).to(dtype), dead, (draw(tokens, 1).abs() + 0.5).to(dtype))


LOSSES = {
    "none": LossSettings("none", 0.0, 0.3),
    "step": LossSettings("step", 0.7, 0.3),
    "step, window open": LossSettings("step", 0.7, 0.3, gradient_through_window=True),
    "step, thresholds by penalty only": LossSettings("step", 0.7, 0.3, reconstruction_moves_threshold=False),
    "quadratic": LossSettings("quadratic", 0.7, 0.3, l0_target=5.0),
    "quadratic, thresholds by penalty only": LossSettings(
        "quadratic", 0.7, 0.3, l0_target=5.0, reconstruction_moves_threshold=False
    ),
    "quadratic, window open, pre-act": LossSettings(
        "quadratic", 0.7, 0.3, l0_target=5.0, gradient_through_window=True, pre_act_coefficient=0.4
    ),
    "tanh": LossSettings("tanh", 0.7, 0.3, tanh_scale=2.0),
    "tanh, window open, pre-act": LossSettings("tanh", 0.7, 1.5, gradient_through_window=True, pre_act_coefficient=0.4),
    "step, pre-act": LossSettings("step", 0.7, 0.3, pre_act_coefficient=0.4),
    "step, pre-act, in another unit": LossSettings("step", 0.7, 0.3, pre_act_coefficient=0.4).divided(0.2),
    "tanh, in another unit": LossSettings("tanh", 0.7, 0.3, tanh_scale=2.0).divided(3.0),
}


@pytest.fixture(params=LOSSES.values(), ids=LOSSES.keys())
def loss(request: pytest.FixtureRequest) -> LossSettings:
    """Every form of the loss."""
    return request.param


@pytest.fixture
def make_case() -> Callable[..., Case]:
    """`random_case`."""
    return random_case


@pytest.fixture
def assert_equals_autograd() -> Callable[..., None]:
    """`check`, below."""
    return check


def check(
    found: tuple[StepStatistics, WeightGradients],
    case: Case,
    loss: LossSettings,
    *,
    dead: Tensor | None = None,
    emphasis: Tensor | None = None,
    tolerance: float = 1e-10,
) -> None:
    """The found loss, counts and every gradient are those of autograd through the dense reference in float64."""
    weights = DictionaryWeights(
        **{field.name: Parameter(getattr(case.weights, field.name).double()) for field in fields(case.weights)}
    )
    x = case.x.double()
    scales = None if emphasis is None else emphasis.double()
    total = training_loss(weights, x, loss, dead=dead, emphasis=scales)
    statistics, gradients = found
    names = [field.name for field in fields(gradients)]
    expected = torch.autograd.grad(total, [getattr(weights, name) for name in names], allow_unused=True)
    close = {"atol": tolerance, "rtol": tolerance, "check_dtype": False}
    for name, gradient in zip(names, expected, strict=True):
        wanted = torch.zeros_like(getattr(weights, name)) if gradient is None else gradient
        explain = lambda text, name=name: f"{name}: {text}"  # noqa: E731
        torch.testing.assert_close(getattr(gradients, name), wanted, msg=explain, **close)

    pre_acts = x @ weights.encoder_rows.T + weights.b_enc
    active = pre_acts > weights.threshold
    window = (pre_acts - weights.threshold).abs() < loss.bandwidth / 2
    error = (pre_acts * active) @ weights.decoder_rows + weights.b_dec - x
    weighted = error if scales is None else error * scales
    torch.testing.assert_close(statistics.squared_error, error.square().sum(1).mean(), **close)
    weighted_error = loss.error_weight * weighted.square().sum(1).mean()
    torch.testing.assert_close(statistics.penalty, total - weighted_error, **close)
    assert statistics.fire_counts.tolist() == active.sum(0).tolist()
    assert statistics.window_counts.tolist() == window.sum(0).tolist()
    assert statistics.l0 == pytest.approx(float(active.sum(1).double().mean()))
