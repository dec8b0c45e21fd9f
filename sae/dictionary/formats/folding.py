"""Turns what other libraries do around an SAE into its weights, so that its encoder reads the plain activations.

Every function changes the tensors `W_enc`, `b_enc`, `W_dec`, `b_dec` (and `threshold` where named) of the given
dictionary, and leaves the reconstruction of every activation as it was.
"""

import torch
from torch import Tensor

__all__ = ["fold_decoder_norm", "fold_input_bias", "fold_input_norm", "fold_input_scale"]

SMALLEST_NORM = 1e-8
"""A decoder row shorter than this is divided by this instead, as sae-lens does."""

Tensors = dict[str, Tensor]


def fold_input_bias(tensors: Tensors) -> None:
    """For an encoder that reads `x - b_dec`: features stay as they were."""
    tensors["b_enc"] = tensors["b_enc"] - tensors["b_dec"] @ tensors["W_enc"]


def fold_input_scale(tensors: Tensors, scale: float | Tensor) -> None:
    """For an SAE of `scale * x`: features stay as they were, and the reconstruction is of x."""
    tensors["W_enc"] = tensors["W_enc"] * scale
    tensors["W_dec"] = tensors["W_dec"] / scale
    tensors["b_dec"] = tensors["b_dec"] / scale


def fold_input_norm(tensors: Tensors, weight: Tensor, bias: Tensor) -> None:
    """For a transcoder that reads n of `x = weight * n + bias`: features and skip path stay, read off x."""
    tensors["W_enc"] = tensors["W_enc"] / weight[:, None]
    tensors["b_enc"] = tensors["b_enc"] - bias @ tensors["W_enc"]
    if "W_skip" in tensors:
        tensors["W_skip"] = tensors["W_skip"] / weight[:, None]
        tensors["b_dec"] = tensors["b_dec"] - bias @ tensors["W_skip"]


def fold_decoder_norm(tensors: Tensors) -> None:
    """For a selection by `pre_acts * norm`: features come in units of unit decoder rows, thresholds must be already."""
    norms = torch.linalg.vector_norm(tensors["W_dec"], dim=1).clamp(min=SMALLEST_NORM)
    tensors["W_enc"] = tensors["W_enc"] * norms
    tensors["b_enc"] = tensors["b_enc"] * norms
    tensors["W_dec"] = tensors["W_dec"] / norms[:, None]
