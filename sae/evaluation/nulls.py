"""Dictionaries without learned content that a dictionary stands beside, each a column of every table."""

from collections.abc import Sequence

import torch

from sae.dictionary.autoencoder import SAE
from sae.dictionary.random_directions import random_dictionary_of_density
from sae.evaluation.degenerate import constant_sae, pca_sae
from sae.evaluation.survey import Survey

__all__ = ["ABLATIONS", "NULLS", "null_dictionaries"]

ABLATIONS = ("zero", "mean")
NULLS = (*ABLATIONS, "random", "pca")
"""`zero` and `mean` give one vector for every token; `random` has as many random directions, each active as often as a
feature of the dictionary; `pca` has as many principal components as a token has active features."""


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
        nulls["random"] = random_dictionary_of_density(found.sample, found.density, seed=seed)
    if "pca" in names:
        nulls["pca"] = pca_sae(found.sample, min(len(mean), max(1, round(found.l0))))
    return nulls
