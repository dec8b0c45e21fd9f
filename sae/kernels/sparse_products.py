"""Products of a sparse matrix, given by its support, with dense rows: what is left of a step after the encoder.

Each reads whole rows and adds in one fixed order, so results repeat bit for bit, on a GPU too.
"""

import warnings

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import embedding_bag

from sae.kernels.support import Support

__all__ = ["decode", "feature_sums", "inner_products", "per_feature", "token_sums"]


def decode(
    support: Support, values: Float[Tensor, " entries"], feature_rows: Float[Tensor, "d_sae d_model"]
) -> Float[Tensor, "tokens d_model"]:
    """For each token the sum of its features' rows, weighted by the values."""
    return _weighted_sums(feature_rows, support.feature_ids, values, support.token_offsets)


def inner_products(
    support: Support, token_rows: Float[Tensor, "tokens d_model"], feature_rows: Float[Tensor, "d_sae d_model"]
) -> Float[Tensor, " entries"]:
    """For each entry the inner product of its token's row with its feature's row."""
    if not len(support.feature_ids):
        return token_rows.new_zeros(0)
    with warnings.catch_warnings():
        # torch calls its sparse tensors a beta once per process
        warnings.simplefilter("ignore")
        pattern = torch.sparse_csr_tensor(
            support.token_offsets,
            support.feature_ids,
            token_rows.new_zeros(len(support.feature_ids)),
            size=(support.n_tokens, support.d_sae),
            check_invariants=False,
        )
        return torch.sparse.sampled_addmm(pattern, token_rows, feature_rows.T, beta=0.0).values()


def per_feature(
    support: Support, values: Float[Tensor, " entries"], token_rows: Float[Tensor, "tokens d_model"]
) -> Float[Tensor, "d_sae d_model"]:
    """For each feature the sum of its tokens' rows, weighted by the values."""
    order = support.feature_order
    tokens, sorted_values = support.token_ids.index_select(0, order), values.index_select(0, order)
    return _weighted_sums(token_rows, tokens, sorted_values, support.feature_offsets)


def feature_sums(support: Support, values: Float[Tensor, " entries"]) -> Float[Tensor, " d_sae"]:
    """For each feature the sum of its entries' values."""
    sorted_values = values.index_select(0, support.feature_order)
    return _segment_sums(sorted_values, support.feature_offsets)


def token_sums(support: Support, values: Float[Tensor, " entries"]) -> Float[Tensor, " tokens"]:
    """For each token the sum of its entries' values."""
    return _segment_sums(values, support.token_offsets)


def _segment_sums(values: Tensor, offsets: Tensor) -> Tensor:
    # offsets are right by construction; checking them would wait for the device
    return torch.segment_reduce(values, "sum", offsets=offsets.long(), unsafe=True)


def _weighted_sums(rows: Tensor, ids: Tensor, weights: Tensor, offsets: Tensor) -> Tensor:
    return embedding_bag(ids, rows, offsets, mode="sum", per_sample_weights=weights, include_last_offset=True)
