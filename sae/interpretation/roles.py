"""Which documents explain and which score: decided by their text alone, before any activation is looked at."""

import hashlib
from enum import IntEnum

__all__ = ["Role", "role_of"]


class Role(IntEnum):
    """What a document is for."""

    EXPLAIN = 0
    """Explanations are made from these, and from nothing else."""
    SCORE = 1
    """Explanations are scored on these."""
    ORIGINAL = 2
    """Made by the corpus; its counterpart of role FLIPPED denies one finding that it asserts."""
    FLIPPED = 3
    FRESH = 4
    """Generated anew, to see whether a feature answers to its explanation."""


def role_of(text: str, *, seed: int = 0) -> Role:
    """EXPLAIN or SCORE with equal chance; equal texts are on the same side whatever the corpus around them."""
    digest = hashlib.sha256(f"split {seed}\n{text}".encode("utf-8", "surrogatepass")).digest()
    return Role.SCORE if digest[0] % 2 else Role.EXPLAIN
