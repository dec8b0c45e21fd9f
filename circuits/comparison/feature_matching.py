"""Which feature of one dictionary is which of another: one to one, by the cosine of their decoder rows."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torch.nn.functional import normalize

from sae.dictionary.autoencoder import SAE

__all__ = ["match_features", "match_rows"]


def match_features(
    sae_a: SAE, features_a: Sequence[int], sae_b: SAE, features_b: Sequence[int], *, min_cosine: float
) -> dict[int, int]:
    """For some features of A their partners among some features of B.

    Raises:
        ValueError: The dictionaries differ in `d_model`.
    """
    if sae_a.d_model != sae_b.d_model:
        raise ValueError(
            f"the SAEs at {sae_a.site} have d_model {sae_a.d_model} and {sae_b.d_model}, expected equal ones; "
            "circuits of models of different width cannot be compared"
        )
    pairs = match_rows(sae_a.W_dec[list(features_a)], sae_b.W_dec[list(features_b)], min_cosine=min_cosine)
    return {features_a[row]: features_b[column] for row, column in pairs}


def match_rows(
    rows_a: Float[Tensor, "a d_model"], rows_b: Float[Tensor, "b d_model"], *, min_cosine: float
) -> list[tuple[int, int]]:
    """The one-to-one pairing with the largest sum of cosines, less its pairs below `min_cosine`.

    Source: the Hungarian method, as `scipy.optimize.linear_sum_assignment`.
    """
    cosines = (normalize(rows_a.float(), dim=-1) @ normalize(rows_b.float(), dim=-1).T).detach().cpu()
    # pairs below the threshold count nothing, so that none is made at the cost of one above it
    worth = torch.where(cosines >= min_cosine, cosines, 0.0)
    pairs = zip(*linear_sum_assignment(worth.numpy(), maximize=True), strict=True)
    return [(int(row), int(column)) for row, column in pairs if cosines[row, column] >= min_cosine]
