"""Sampling weights of tokens that lie in buckets."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from sae.activations.harvest import COLUMNS, Harvest
from sae.activations.importance import importance_weights
from sae.activations.store.buckets import Buckets

__all__ = ["importance_by_bucket"]

INTEGERS = ("token_ids", "next_ids", "document_ids", "positions")


def importance_by_bucket(buckets: Buckets, chosen: Sequence[int]) -> dict[int, Float[Tensor, " _"]]:
    """The importance of every token, by bucket, in the order of the bucket's rows.

    Documents are put together again for it, because the weights know the tokens before.
    """
    parts = {name: [buckets.read(name, bucket) for bucket in chosen] for name in COLUMNS}
    sizes = [len(part) for part in parts["token_ids"]]
    columns = {name: torch.cat(of_buckets) for name, of_buckets in parts.items()}
    columns |= {name: columns[name].long() for name in INTEGERS}
    in_document_order = torch.from_numpy(np.lexsort((columns["positions"].numpy(), columns["document_ids"].numpy())))
    ordered = Harvest(activations={}, **{name: column[in_document_order] for name, column in columns.items()})
    weights = torch.empty(len(in_document_order))
    weights[in_document_order] = importance_weights(ordered)
    return dict(zip(chosen, weights.split(sizes), strict=True))
