"""Steps whose active features are a given choice, as in BatchTopK: which of the paths takes them.

A scalar threshold is one equal, frozen threshold for all features, so every path can take it; thresholds that differ
from token to token are left to the sparse path.
"""

from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import Parameter

from sae.kernels.dense import dense_gradients
from sae.kernels.dispatch import choose_kernel, row_capacity
from sae.kernels.loss import NO_WINDOW, LossSettings, StepStatistics, WeightGradients
from sae.kernels.shadows import BFloat16Shadows
from sae.kernels.sparse import sparse_selected_gradients
from sae.kernels.weights import DictionaryWeights

__all__ = ["selected_gradients"]

SQUARED_ERROR = LossSettings("none", 0.0, NO_WINDOW, reconstruction_moves_threshold=False)


def selected_gradients(
    weights: DictionaryWeights,
    x: Float[Tensor, "tokens d_model"],
    threshold: Float[Tensor, ""] | Float[Tensor, "tokens 1"],
    *,
    pre_acts: Float[Tensor, "tokens d_sae"],
    emphasis: Float[Tensor, "tokens 1"] | None = None,
    error_weight: float = 1.0,
    kernel: str = "auto",
    shadows: BFloat16Shadows | None = None,
) -> tuple[StepStatistics, WeightGradients]:
    """The squared error and its gradients, the selection being a constant.

    Args:
        weights: Their own thresholds are left aside, and get a gradient of zero.
        x: Normalised activations.
        threshold: Features above it are active; of the batch, or of each token. Not negative.
        pre_acts: Pre-activations of the batch, in the precision that the selection is made in.
        emphasis: As in `sae.kernels.dispatch.loss_and_gradients`.
        error_weight: What the squared error is multiplied by.
        kernel: The path; `auto` is the sparse one on a processor and goes by density elsewhere.
        shadows: As there.

    Raises:
        ValueError: The wanted path cannot run here, or cannot select token by token.
    """
    chosen, density = _choice(kernel, weights, threshold, pre_acts)
    if chosen == "sparse":
        return sparse_selected_gradients(
            weights, x, threshold, pre_acts=pre_acts, emphasis=emphasis, error_weight=error_weight
        )
    loss = replace(SQUARED_ERROR, error_weight=error_weight)
    frozen = replace(weights, threshold=Parameter(threshold.detach().repeat(weights.d_sae)))
    if chosen == "dense":
        return dense_gradients(frozen, x, loss, emphasis=emphasis, shadows=shadows)
    from sae.kernels.triton_step import RowOverflowError, triton_gradients

    capacity = row_capacity(weights.d_sae, density)
    try:
        return triton_gradients(
            frozen, x, loss, capacity=capacity, pre_acts=pre_acts, emphasis=emphasis, shadows=shadows
        )
    except RowOverflowError:
        return sparse_selected_gradients(
            weights, x, threshold, pre_acts=pre_acts, emphasis=emphasis, error_weight=error_weight
        )


def _choice(kernel: str, weights: DictionaryWeights, threshold: Tensor, pre_acts: Tensor) -> tuple[str, float]:
    """The path, and the share of active entries where it matters."""
    if threshold.ndim:
        if kernel not in ("auto", "sparse"):
            raise ValueError(
                f"kernel is {kernel!r}, but under emphasis features are selected token by token, which only the "
                "sparse path does; choose auto or sparse"
            )
        return "sparse", 0.0
    if kernel == "sparse" or (kernel == "auto" and weights.device.type == "cpu"):
        return "sparse", 0.0
    density = float((pre_acts > threshold).sum(dtype=torch.long)) / pre_acts.numel()
    return choose_kernel(kernel, weights, density), density
