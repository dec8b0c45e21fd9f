"""Dictionaries of random directions: the null of every claim about what a trained dictionary represents."""

import torch
from jaxtyping import Float
from torch import Tensor

from sae.dictionary.autoencoder import SAE

__all__ = ["random_dictionary"]

SAMPLED_TOKENS = 2000


def random_dictionary(activations: Float[Tensor, "tokens d_model"], like: SAE, *, l0: float, seed: int = 0) -> SAE:
    """Random directions of the same number, with the one threshold that gives the same L0.

    The decoder is the encoder, scaled so that one active feature reproduces its own projection.

    Args:
        activations: A sample from the site; their mean is the centre.
        like: Gives the number of features and the site.
        l0: Active features of a token, on average.
        seed: Of the directions.
    """
    generator = torch.Generator().manual_seed(seed)
    directions = torch.randn(like.d_sae, like.d_model, generator=generator)
    directions = directions / directions.norm(dim=1, keepdim=True)
    mean = activations.mean(dim=0)
    sample = activations[torch.randperm(len(activations), generator=generator)[:SAMPLED_TOKENS]]
    pre_acts = (sample - mean) @ directions.T
    n_active = max(1, round(l0 * len(sample)))
    threshold = pre_acts.flatten().topk(n_active).values[-1].clamp(min=0)
    return SAE(
        encoder_rows=directions,
        b_enc=-directions @ mean,
        decoder_rows=directions,
        b_dec=mean,
        threshold=threshold.expand(like.d_sae).clone(),
        site=like.site,
    )
