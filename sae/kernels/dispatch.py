"""One door to the training arithmetic: which of the paths takes a step.

dense   five matrix products          many features active or in the window
sparse  torch on the sparse support   few of them, on a processor; on a GPU where Triton is missing
triton  fused kernels on the support  few of them, on a GPU
"""

import os
from importlib.util import find_spec
from typing import Literal, get_args

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import linear

from sae.kernels.dense import dense_gradients
from sae.kernels.loss import LossSettings, StepStatistics, WeightGradients
from sae.kernels.shadows import BFloat16Shadows
from sae.kernels.sparse import sparse_gradients
from sae.kernels.weights import DictionaryWeights

__all__ = ["Kernel", "choose_kernel", "loss_and_gradients", "loss_and_update", "support_density"]

Kernel = Literal["auto", "dense", "sparse", "triton"]

# share of tokens * d_sae above which matrix products are faster than gathers. On a GPU by the rates of an H200,
# 4.3 TB/s against 790 TFLOP/s; on a processor as measured (README.md)
BREAK_EVEN_DENSITY = {"cuda": 0.0054, "cpu": 0.25}
SAMPLED_TOKENS = 64
SMALLEST_CAPACITY = 64
# a row holds this many times the mean number of entries before it overflows
CAPACITY_MARGIN = 4


def loss_and_gradients(
    weights: DictionaryWeights,
    x: Float[Tensor, "tokens d_model"],
    loss: LossSettings,
    *,
    dead: Bool[Tensor, " d_sae"] | None = None,
    emphasis: Float[Tensor, "tokens 1"] | None = None,
    kernel: str = "auto",
    last_density: float | None = None,
    shadows: BFloat16Shadows | None = None,
) -> tuple[StepStatistics, WeightGradients]:
    """The loss of a JumpReLU training step and its exact gradients.

    Args:
        weights: Read, not written; `WeightGradients.assign` hands the result to an optimiser.
        x: Normalised activations.
        loss: What is minimised.
        dead: Features that the pre-activation loss pulls up; none where it is left out.
        emphasis: Of each token, above 0: its squared error counts emphasis^2 times. The penalty is not weighted.
        kernel: The path; `auto` chooses by device and density.
        last_density: `StepStatistics.density` of the step before, for `auto`; measured on some tokens where missing.
        shadows: bfloat16 copies of the weights that the dense products and the Triton kernels read instead.

    Raises:
        ValueError: The width of `x` is not the dictionary's, or the wanted path cannot run here.
    """
    _check_width(weights, x)
    density = support_density(weights, x, loss) if last_density is None else last_density
    chosen = choose_kernel(kernel, weights, density)
    if chosen == "triton":
        from sae.kernels.triton_step import RowOverflowError, triton_gradients

        capacity = row_capacity(weights.d_sae, density)
        try:
            return triton_gradients(weights, x, loss, capacity=capacity, dead=dead, emphasis=emphasis, shadows=shadows)
        except RowOverflowError as overflow:
            chosen = _without_rows(weights.device, overflow.density)
    if chosen == "dense":
        return dense_gradients(weights, x, loss, dead=dead, emphasis=emphasis, shadows=shadows)
    return sparse_gradients(weights, x, loss, dead=dead, emphasis=emphasis)


def loss_and_update(
    weights: DictionaryWeights,
    x: Float[Tensor, "tokens d_model"],
    loss: LossSettings,
    optimiser: torch.optim.Adam,
    *,
    normalise_decoder: bool = True,
    dead: Bool[Tensor, " d_sae"] | None = None,
    emphasis: Float[Tensor, "tokens 1"] | None = None,
    kernel: str = "auto",
    last_density: float | None = None,
    shadows: BFloat16Shadows | None = None,
) -> StepStatistics:
    """A whole training step: gradients, then one step of the optimiser; fused where the Triton path is taken.

    Fused or not, weights and optimiser state are the same up to rounding, and a checkpoint does not tell.

    Args:
        weights: Moved, and the thresholds with them: they are not kept from becoming negative here.
        x: Normalised activations.
        loss: What is minimised.
        optimiser: Holds all five weights, in whatever groups.
        normalise_decoder: Whether decoder rows are scaled to unit length after the step.
        dead: As in `loss_and_gradients`.
        emphasis: As there.
        kernel: As there.
        last_density: As there.
        shadows: Brought up to date as well.

    Raises:
        ValueError: As in `loss_and_gradients`.
    """
    _check_width(weights, x)
    density = support_density(weights, x, loss) if last_density is None else last_density
    chosen = choose_kernel(kernel, weights, density)
    if chosen == "triton":
        from sae.kernels.triton_step import RowOverflowError, triton_update

        try:
            statistics = triton_update(
                weights,
                x,
                loss,
                optimiser,
                capacity=row_capacity(weights.d_sae, density),
                dead=dead,
                emphasis=emphasis,
                shadows=shadows,
                normalise_decoder=normalise_decoder,
            )
            optimiser.step()
            return statistics
        except RowOverflowError as overflow:
            chosen = _without_rows(weights.device, overflow.density)
    statistics, gradients = loss_and_gradients(
        weights, x, loss, dead=dead, emphasis=emphasis, kernel=chosen, last_density=density, shadows=shadows
    )
    gradients.assign(weights)
    optimiser.step()
    if normalise_decoder:
        weights.normalise_decoder()
    if shadows is not None:
        shadows.refresh(weights)
    return statistics


def choose_kernel(kernel: str, weights: DictionaryWeights, density: float) -> str:
    """The path that a step takes: dense, sparse or triton.

    Args:
        kernel: What the user asked for.
        weights: For their device and precision.
        density: Share of tokens * d_sae that the sparse form would gather.

    Raises:
        ValueError: The wanted path is unknown or cannot run here.
    """
    if kernel not in get_args(Kernel):
        raise ValueError(f"kernel is {kernel!r}, expected one of {', '.join(get_args(Kernel))}")
    obstacle = _obstacle_to_triton(weights)
    if kernel == "triton" and obstacle is not None:
        raise ValueError(f"kernel is 'triton', but {obstacle}; choose auto, dense or sparse")
    if kernel != "auto":
        return kernel
    if density > BREAK_EVEN_DENSITY.get(weights.device.type, BREAK_EVEN_DENSITY["cpu"]):
        return "dense"
    return "triton" if weights.device.type == "cuda" and obstacle is None else "sparse"


@torch.no_grad()
def support_density(weights: DictionaryWeights, x: Float[Tensor, "tokens d_model"], loss: LossSettings) -> float:
    """Share of tokens * d_sae that the sparse form would gather, from the first few tokens."""
    if not len(x):
        return 0.0
    bound = weights.threshold - loss.bandwidth / 2 if loss.gathers_window else weights.threshold
    pre_acts = linear(x[:SAMPLED_TOKENS], weights.encoder_rows, weights.b_enc)
    return float((pre_acts > bound).float().mean())


def row_capacity(d_sae: int, density: float) -> int:
    """Entries that a token may have in the Triton path: a power of two, so that few sizes are ever compiled."""
    expected = max(SMALLEST_CAPACITY, CAPACITY_MARGIN * density * d_sae)
    return min(d_sae, 1 << (int(expected) - 1).bit_length())


def _check_width(weights: DictionaryWeights, x: Tensor) -> None:
    if x.shape[1] != weights.d_model:
        raise ValueError(f"x has width {x.shape[1]}, expected {weights.d_model}, the d_model of the dictionary")


def _obstacle_to_triton(weights: DictionaryWeights) -> str | None:
    if find_spec("triton") is None:
        return "triton is not installed"
    if weights.encoder_rows.dtype != torch.float32:
        return f"the weights are {weights.encoder_rows.dtype}, not float32"
    if weights.device.type != "cuda" and os.environ.get("TRITON_INTERPRET") != "1":
        return f"the weights lie on {weights.device}, not on a CUDA device"
    return None


def _without_rows(device: torch.device, density: float) -> str:
    """The path of a step whose tokens do not fit into rows."""
    return "dense" if density > BREAK_EVEN_DENSITY.get(device.type, BREAK_EVEN_DENSITY["cpu"]) else "sparse"
