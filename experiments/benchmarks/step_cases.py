"""What is timed on a GPU: sizes, a dictionary and tokens that have a wanted L0, and the bytes that a step must move."""

from dataclasses import dataclass
from itertools import product
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from sae.kernels.loss import LossSettings
from sae.kernels.weights import DictionaryWeights

__all__ = [
    "CASES",
    "HEADLINE",
    "Case",
    "Operation",
    "dictionary_with_l0",
    "floor_milliseconds",
    "least_bytes",
    "loss_of",
]

Operation = Literal["gradients", "step", "decode"]
"""`gradients` is a step without the optimiser; `decode` is the reconstruction, its error and the value gradients."""

D_MODEL = 3072
BANDWIDTH = 0.3
BFLOAT16_FLOPS = 790e12
"""Floating-point operations a second of an H200, for the floors."""
BANDWIDTH_BYTES = 4.3e12
DECADES_OF_FREQUENCY = 2.0
BFLOAT16, FLOAT32 = 2, 4
ADAM_BYTES = 26
"""A parameter and two moments in float32, read and written, and its bfloat16 copy, written."""


@dataclass(frozen=True)
class Case:
    """Sizes of a training step.

    Attributes:
        d_sae: Features.
        n_tokens: Tokens of the batch.
        l0: Mean number of active features of a token.
        d_model: Width of the activations.
    """

    d_sae: int
    n_tokens: int
    l0: int
    d_model: int = D_MODEL


HEADLINE = Case(65_536, 4096, 64)
_GRID = [Case(*sizes) for sizes in product((16_384, 65_536, 131_072), (4096, 8192), (32, 64, 128))]
CASES = (HEADLINE, *(case for case in _GRID if case != HEADLINE))


def loss_of(case: Case) -> LossSettings:
    """The loss of every implementation: the quadratic penalty, which all of them have."""
    return LossSettings("quadratic", 1.0, BANDWIDTH, l0_target=float(case.l0))


def dictionary_with_l0(
    case: Case, *, device: torch.device, seed: int = 0
) -> tuple[DictionaryWeights, Float[Tensor, "tokens d_model"]]:
    """Random unit rows, Gaussian tokens, and thresholds with which features fire as often as in a trained dictionary.

    Frequencies are spread evenly over two decades on a logarithmic scale, and their sum is `case.l0`. A unit row
    gives a Gaussian token a standard normal pre-activation, so that the threshold is the normal quantile.
    """
    generator = torch.Generator(device).manual_seed(seed)
    weights = DictionaryWeights.random(case.d_sae, case.d_model, generator=generator)
    shares = torch.logspace(0, DECADES_OF_FREQUENCY, case.d_sae, dtype=torch.float64)
    shares = (shares * (case.l0 / shares.sum())).clamp(max=0.5)
    # neighbours in memory must not be alike in frequency
    shares = shares[torch.randperm(case.d_sae, generator=torch.Generator().manual_seed(seed))]
    with torch.no_grad():
        weights.threshold.copy_(torch.special.ndtri(1 - shares))
    return weights, torch.randn(case.n_tokens, case.d_model, generator=generator, device=device)


def least_bytes(case: Case, operation: Operation, density: float) -> int:
    """Bytes that the operation moves if every row is read once for each entry, whatever an implementation does.

    Decoder rows are counted once for both the reconstruction and the value gradients. The weight gradients read a
    row of the error and one of the tokens for each entry. Both matrices are read in bfloat16 and kept in float32.

    Args:
        case: The sizes.
        operation: What is done.
        density: Share of tokens * d_sae that are entries, those in the window included.
    """
    entries = round(density * case.n_tokens * case.d_sae)
    row, rows_of_tokens = BFLOAT16 * case.d_model, case.n_tokens * case.d_model
    decode = entries * (row + 3 * FLOAT32) + rows_of_tokens * (FLOAT32 + BFLOAT16)
    if operation == "decode":
        return decode
    parameters = 2 * case.d_sae * case.d_model
    pre_acts = 2 * BFLOAT16 * case.n_tokens * case.d_sae
    encoder = BFLOAT16 * (case.d_sae * case.d_model + rows_of_tokens)
    weight_gradients = 2 * entries * row
    kept = parameters * (ADAM_BYTES if operation == "step" else FLOAT32)
    return encoder + pre_acts + decode + weight_gradients + kept


def floor_milliseconds(case: Case, operation: Operation, density: float) -> float:
    """The encoder's product at the full arithmetic of an H200, then the bytes at its full bandwidth."""
    flops = 0 if operation == "decode" else 2 * case.n_tokens * case.d_model * case.d_sae
    return 1e3 * (flops / BFLOAT16_FLOPS + least_bytes(case, operation, density) / BANDWIDTH_BYTES)
