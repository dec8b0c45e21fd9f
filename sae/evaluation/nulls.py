"""Dictionaries without learned content that a dictionary stands beside, each a column of every table."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor
from torch.nn.functional import normalize

from sae.dictionary.autoencoder import SAE
from sae.evaluation.degenerate import constant_sae, pca_sae
from sae.evaluation.survey import Survey

__all__ = ["ABLATIONS", "NULLS", "null_dictionaries", "random_dictionary"]

ABLATIONS = ("zero", "mean")
NULLS = (*ABLATIONS, "random", "pca")
"""`zero` and `mean` give one vector for every token; `random` has as many random directions, each active as often as a
feature of the dictionary; `pca` has as many principal components as a token has active features."""
FEATURES_PER_CHUNK = 1024
ROUNDING = 1e-5
"""Thresholds are this share higher, so that the token that sets one is not active by rounding."""


def null_dictionaries(names: Sequence[str], found: Survey, *, seed: int = 0) -> dict[str, SAE]:
    """The nulls by name, with the two ablations first, which the share of the loss recovered needs.

    Args:
        names: Some of `NULLS`.
        found: The texts' activations and the density of the dictionary that the nulls are for.
        seed: Of the random directions.

    Raises:
        ValueError: A name is unknown.
    """
    if unknown := [name for name in names if name not in NULLS]:
        raise ValueError(f"null {unknown[0]!r} is unknown, expected some of {', '.join(NULLS)}")
    mean = found.mean.float()
    nulls = {"zero": constant_sae(torch.zeros_like(mean)), "mean": constant_sae(mean)}
    if "random" in names:
        nulls["random"] = random_dictionary(found.sample, found.density, seed=seed)
    if "pca" in names:
        nulls["pca"] = pca_sae(found.sample, min(len(mean), max(1, round(found.l0))))
    return nulls


def random_dictionary(
    sample: Float[Tensor, "sampled d_model"], density: Float64[Tensor, " d_sae"], *, seed: int = 0
) -> SAE:
    """Random unit directions about the mean, read and written alike, each active on a given share of tokens.

    What it writes is scaled by the factor that reconstructs the sample best: a null should lose by its directions, not
    by their length.

    Args:
        sample: Activations.
        density: Share of tokens on which each direction is to be active; above 1/2 is not reached.
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
