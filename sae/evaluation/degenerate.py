"""Dictionaries whose scores are known before anything is measured.

A JumpReLU dictionary passes a direction through unchanged when it reads it with both signs at threshold 0: exactly
one of `relu(a)` and `relu(-a)` is not zero, and their signed sum is `a`. Everything here is built from that.
"""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

from sae.dictionary.autoencoder import SAE

__all__ = [
    "constant_sae",
    "identity_sae",
    "pca_sae",
    "projection_sae",
    "random_sae",
    "scaling_sae",
    "with_silent_features",
]


def projection_sae(
    directions: Float[Tensor, "k d_model"], centre: Float[Tensor, " d_model"], *, factor: float = 1.0
) -> SAE:
    """`x_hat = centre + factor * P (x - centre)` with P the projection onto orthonormal directions.

    Two features a direction, of which one is active wherever x is not exactly the centre along it: L0 is k.

    Args:
        directions: Orthonormal rows.
        centre: What is given back where no feature is active.
        factor: 1 keeps the projected part, less shrinks it.
    """
    rows = torch.cat([directions, -directions])
    return SAE(
        encoder_rows=rows,
        b_enc=-(rows @ centre),
        decoder_rows=factor * rows,
        b_dec=centre,
        threshold=torch.zeros(len(rows)),
    )


def identity_sae(d_model: int) -> SAE:
    """Gives everything back, with d_model active features of 2 d_model."""
    return scaling_sae(torch.zeros(d_model), factor=1.0)


def scaling_sae(centre: Float[Tensor, " d_model"], *, factor: float) -> SAE:
    """`x_hat = centre + factor * (x - centre)`: what shrinkage does to a reconstruction."""
    return projection_sae(torch.eye(len(centre)), centre, factor=factor)


def constant_sae(value: Float[Tensor, " d_model"], *, d_sae: int = 8) -> SAE:
    """Gives one vector for every token; no feature is ever active."""
    rows = torch.zeros(d_sae, len(value))
    return SAE(
        encoder_rows=rows, b_enc=torch.zeros(d_sae), decoder_rows=rows, b_dec=value, threshold=torch.zeros(d_sae)
    )


def pca_sae(activations: Float[Tensor, "tokens d_model"], k: int) -> SAE:
    """The k principal components of some activations, about their mean: the best linear code of that L0."""
    x = activations.double()
    mean = x.mean(0)
    directions = torch.linalg.eigh((x - mean).T @ (x - mean)).eigenvectors.flip(-1)[:, :k].T
    return projection_sae(directions.float(), mean.float())


def random_sae(d_model: int, d_sae: int, *, threshold: float, seed: int) -> SAE:
    """Random unit directions, read and written alike, with one threshold for all."""
    rows = normalize(torch.randn(d_sae, d_model, generator=torch.Generator().manual_seed(seed)))
    return SAE(
        encoder_rows=rows,
        b_enc=torch.zeros(d_sae),
        decoder_rows=rows,
        b_dec=torch.zeros(d_model),
        threshold=torch.full((d_sae,), threshold),
    )


def with_silent_features(sae: SAE) -> SAE:
    """The same function with as many features again that are never active."""
    silent = torch.zeros_like(sae.encoder_rows)
    nothing = torch.zeros_like(sae.b_enc)
    return SAE(
        encoder_rows=torch.cat([sae.encoder_rows, silent]),
        b_enc=torch.cat([sae.b_enc, nothing]),
        decoder_rows=torch.cat([sae.decoder_rows, silent]),
        b_dec=sae.b_dec,
        threshold=torch.cat([sae.threshold, nothing]),
    )
