"""What must hold before a step is timed: gradients are those of float64 autograd, two runs end in equal bits."""

from dataclasses import fields

import torch
from torch import Tensor
from torch.nn import Parameter

from experiments.benchmarks.decode_peers import DECODERS, decode_inputs
from experiments.benchmarks.step_cases import Case, dictionary_with_l0, loss_of
from sae.kernels.dispatch import loss_and_gradients, loss_and_update, support_density
from sae.kernels.loss import LossSettings
from sae.kernels.reference import training_loss
from sae.kernels.shadows import BFloat16Shadows
from sae.kernels.weights import DictionaryWeights

__all__ = ["check_decoders", "check_gradients", "check_repeatable", "check_update", "relative_error"]

NAMES = [field.name for field in fields(DictionaryWeights)]
FLOAT32_TOLERANCE = 1e-4
BFLOAT16_TOLERANCE = 2e-2
ADAM_TOLERANCE = 5e-2
"""Adam makes a step of any gradient: an entry that rounding moves across an edge moves a whole row."""
SMALLEST_DISTANCE = 1e-4
"""Tokens with a pre-activation nearer to an edge, where rounding may move it across, are left out."""


def check_gradients(case: Case, *, device: torch.device, kernel: str = "triton") -> None:
    """Every gradient, in float32 and from bfloat16 copies, against autograd through the dense loss in float64.

    Raises:
        ValueError: One is off.
    """
    loss = loss_of(case)
    weights, x = _representable(*dictionary_with_l0(case, device=device))
    x = x[_is_clear(weights, x, loss)]
    expected = _expected(weights, x, loss)
    copies = BFloat16Shadows(weights.encoder_rows.bfloat16(), weights.decoder_rows.bfloat16(), rounds_pre_acts=False)
    for shadows, tolerance in ((None, FLOAT32_TOLERANCE), (copies, BFLOAT16_TOLERANCE)):
        density = support_density(weights, x, loss)
        statistics, found = loss_and_gradients(weights, x, loss, kernel=kernel, last_density=density, shadows=shadows)
        if statistics.kernel != kernel:
            raise ValueError(f"the step took the {statistics.kernel} path, expected {kernel}; nothing was timed")
        for name in NAMES:
            _check(f"the gradient of {name}", getattr(found, name), expected[name], tolerance)


def check_update(case: Case, *, device: torch.device) -> None:
    """The fused optimiser step against gradients written first and torch's Adam after.

    Raises:
        ValueError: A weight moved elsewhere.
    """
    before, _ = dictionary_with_l0(case, device=device)
    fused = _after_steps(case, device=device, kernel="triton", n_steps=2)
    apart = _after_steps(case, device=device, kernel="sparse", n_steps=2)
    for name in NAMES:
        start = getattr(before, name)
        moves = [getattr(after, name) - start for after in (fused, apart)]
        _check(f"the move of {name}", moves[0], moves[1], ADAM_TOLERANCE)


def check_repeatable(case: Case, *, device: torch.device, kernel: str = "triton") -> None:
    """Two runs of three steps from the same start, with bfloat16 copies.

    Raises:
        ValueError: They differ in a bit.
    """
    first, second = (_after_steps(case, device=device, kernel=kernel, n_steps=3, rounds=True) for _ in range(2))
    for name in NAMES:
        if not torch.equal(getattr(first, name), getattr(second, name)):
            raise ValueError(f"two runs differ in {name}; nothing was timed")


def check_decoders(case: Case, *, device: torch.device) -> None:
    """Every way to decode against the gather in float64.

    Raises:
        ValueError: One is off.
    """
    inputs = decode_inputs(case, device=device)
    rows = inputs.decoder_rows.double()[inputs.feature_ids]
    x_hat = torch.einsum("nk,nkd->nd", inputs.values.double(), rows)
    r = (x_hat + inputs.b_dec - inputs.x) * inputs.scale
    gradients = torch.einsum("nkd,nd->nk", rows, r)
    for name, decode in DECODERS.items():
        found_r, found_gradients = decode(inputs)
        _check(f"the error by {name}", found_r, r, BFLOAT16_TOLERANCE)
        _check(f"the value gradient by {name}", found_gradients, gradients, BFLOAT16_TOLERANCE)


def relative_error(found: Tensor, expected: Tensor) -> float:
    """Length of the difference over the length of what was expected; NaN where either is not finite."""
    expected = expected.double()
    return float((found.double() - expected).norm() / expected.norm().clamp(min=torch.finfo(torch.float32).tiny))


def _check(what: str, found: Tensor, expected: Tensor, tolerance: float) -> None:
    error = relative_error(found.detach(), expected.detach())
    # written so that NaN is refused too
    if not error <= tolerance:
        raise ValueError(f"{what} is off by {error:.2g} of its length, expected {tolerance:g}; nothing was timed")


@torch.no_grad()
def _representable(weights: DictionaryWeights, x: Tensor) -> tuple[DictionaryWeights, Tensor]:
    """The same in numbers that bfloat16 holds, so that copies are exact and what is off is the kernels' doing."""
    for rows in (weights.encoder_rows, weights.decoder_rows):
        rows.copy_(rows.bfloat16())
    return weights, x.bfloat16().float()


@torch.no_grad()
def _is_clear(weights: DictionaryWeights, x: Tensor, loss: LossSettings) -> Tensor:
    """Tokens whose pre-activations all keep away from the thresholds and from the ends of the windows."""
    distance = x.double() @ weights.encoder_rows.double().T + weights.b_enc.double() - weights.threshold.double()
    edges = [(distance - edge).abs() for edge in (0.0, loss.bandwidth / 2, -loss.bandwidth / 2)]
    return torch.stack(edges).amin(dim=(0, 2)) > SMALLEST_DISTANCE


def _expected(weights: DictionaryWeights, x: Tensor, loss: LossSettings) -> dict[str, Tensor]:
    exact = DictionaryWeights(**{name: Parameter(getattr(weights, name).detach().double()) for name in NAMES})
    total = training_loss(exact, x.double(), loss)
    return dict(zip(NAMES, torch.autograd.grad(total, [getattr(exact, name) for name in NAMES]), strict=True))


def _after_steps(
    case: Case, *, device: torch.device, kernel: str, n_steps: int, rounds: bool = False
) -> DictionaryWeights:
    """The weights after some steps of Adam; `rounds` gives the kernels bfloat16 copies of them."""
    loss = loss_of(case)
    weights, x = dictionary_with_l0(case, device=device)
    x = x if rounds else x[_is_clear(weights, x, loss)]
    optimiser = torch.optim.Adam([getattr(weights, name) for name in NAMES], lr=1e-3, fused=True)
    density = support_density(weights, x, loss)
    shadows = BFloat16Shadows.of(weights, loss.bandwidth) if rounds else None
    for _ in range(n_steps):
        loss_and_update(weights, x, loss, optimiser, kernel=kernel, last_density=density, shadows=shadows)
    return weights
