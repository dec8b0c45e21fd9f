"""Dictionaries of random directions: the null of every claim about what a trained dictionary represents."""

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor
from torch.nn.functional import normalize

from sae.dictionary.autoencoder import SAE
from sae.host.sites import Site

__all__ = ["random_dictionary", "random_dictionary_of_density"]

SAMPLED_TOKENS = 2000
FEATURES_PER_CHUNK = 1024
ROUNDING = 1e-5
"""Thresholds are this share higher, so that the token that sets one is not active by rounding."""


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


def random_dictionary_of_density(
    sample: Float[Tensor, "sampled d_model"],
    density: Float64[Tensor, " d_sae"],
    *,
    site: Site | None = None,
    seed: int = 0,
) -> SAE:
    """Random unit directions about the mean, read and written alike, each active on a given share of tokens.

    What it writes is scaled by the factor that reconstructs the sample best: a null should lose by its directions, not
    by their length.

    Args:
        sample: Activations.
        density: Share of tokens on which each direction is to be active; above 1/2 is not reached.
        site: Where the activations are from.
        seed: Of the directions.
    """
    generator = torch.Generator().manual_seed(seed)
    rows = normalize(torch.randn(len(density), sample.shape[1], generator=generator))
    mean = sample.double().mean(0).float()
    centred = sample - mean
    parts = zip(rows.split(FEATURES_PER_CHUNK), density.split(FEATURES_PER_CHUNK), strict=True)
    threshold = torch.cat([_thresholds(centred @ some.T, shares) for some, shares in parts])
    sae = SAE(
        encoder_rows=rows, b_enc=-(rows @ mean), decoder_rows=rows, b_dec=torch.zeros_like(mean), threshold=threshold
    )
    written = sae.decode_sparse(sae.encode_sparse(sample)).double()
    offset = written.mean(0)
    spread = (written - offset).square().sum()
    factor = ((written - offset) * centred).sum() / spread if spread > 0 else torch.zeros_like(spread)
    return SAE(
        encoder_rows=rows,
        b_enc=sae.b_enc,
        decoder_rows=rows * factor.float(),
        b_dec=mean - (factor * offset).float(),
        threshold=threshold,
        site=site,
    )


def _thresholds(
    pre_acts: Float[Tensor, "sampled features"], shares: Float64[Tensor, " features"]
) -> Float[Tensor, " features"]:
    """Of each column the value that the wanted share of rows exceeds, at least 0."""
    n_active = (shares * len(pre_acts)).round().long().clamp(max=len(pre_acts) - 1)
    ranks = (len(pre_acts) - 1 - n_active).tolist()
    columns = pre_acts.T.contiguous().numpy()
    # a selection for each column, far cheaper than sorting it
    found = [float(np.partition(column, rank)[rank]) for column, rank in zip(columns, ranks, strict=True)]
    return torch.tensor(found).clamp(min=0) * (1 + ROUNDING)
