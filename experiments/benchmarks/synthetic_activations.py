"""Activations with a structure that a dictionary can find: sums of a few out of many fixed directions, and noise."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import embedding_bag, normalize

__all__ = ["sparse_sums"]

DIRECTIONS_PER_DIMENSION = 4
NOISE = 0.05


def sparse_sums(n_tokens: int, d_model: int, *, n_active: int, seed: int) -> Float[Tensor, "tokens d_model"]:
    """Each token is the sum of `n_active` of 4 * d_model random unit directions, of unlike frequencies, and noise.

    Strengths are 1 and an exponential of mean 1 on top; the noise has a deviation of 0.05 an element.
    """
    generator = torch.Generator().manual_seed(seed)
    n_directions = DIRECTIONS_PER_DIMENSION * d_model
    directions = normalize(torch.randn(n_directions, d_model, generator=generator))
    # squaring makes low numbers common and high ones rare
    ids = (torch.rand(n_tokens, n_active, generator=generator).square() * n_directions).long()
    strengths = 1 + torch.empty(n_tokens, n_active).exponential_(generator=generator)
    signal = embedding_bag(ids, directions, per_sample_weights=strengths, mode="sum")
    return signal + NOISE * torch.randn(n_tokens, d_model, generator=generator)
