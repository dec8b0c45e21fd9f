"""Documents for training, validation and test, told apart by a hash of their text."""

import hashlib
from collections.abc import Sequence

import torch
from jaxtyping import Int64
from torch import Tensor

__all__ = ["TEST", "TRAIN", "VALIDATION", "splits_of"]

TRAIN, VALIDATION, TEST = range(3)
FIFTHS = (TRAIN, TRAIN, TRAIN, VALIDATION, TEST)


def splits_of(texts: Sequence[str]) -> Int64[Tensor, " documents"]:
    """`TRAIN` (three in five), `VALIDATION` or `TEST` (one each); equal texts stay together."""
    digests = (hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest() for text in texts)
    return torch.tensor([FIFTHS[int.from_bytes(digest[:4], "big") % len(FIFTHS)] for digest in digests])
