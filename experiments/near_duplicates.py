"""Held-out documents that training text holds too, exactly or nearly: they are found and left out."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from datasketch import MinHash, MinHashLSH

from sae.progress import progress

__all__ = ["Deduplicated", "without_duplicates"]

THRESHOLD = 0.7
"""Estimated Jaccard index of word 5-grams from which two documents are nearly the same (Broder 1997)."""
N_HASHES = 128
NGRAM = 5
WORD = re.compile(r"\w+")


@dataclass(frozen=True)
class Deduplicated:
    """What is left of held-out documents.

    Attributes:
        kept: Their numbers, in order.
        n_exact: How many were left out because training text or a kept document says just the same, up to case, white
            space and punctuation.
        n_near: How many because one of these is nearly the same.
    """

    kept: tuple[int, ...]
    n_exact: int
    n_near: int


def without_duplicates(held_out: Sequence[str], training: Iterable[str]) -> Deduplicated:
    """Leave out held-out documents that training text or another held-out document holds too.

    Training text is streamed; only held-out documents are kept in memory.

    Args:
        held_out: Documents to judge on.
        training: Documents that were trained on.
    """
    exact: dict[str, list[int]] = {}
    index = MinHashLSH(threshold=THRESHOLD, num_perm=N_HASHES)
    hashes = [_hashed(text) for text in held_out]
    kept, n_exact, n_near = [], 0, 0
    for number, (text, hashed) in enumerate(zip(held_out, hashes, strict=True)):
        words = _words(text)
        if words in exact:
            n_exact += 1
        elif _is_near(index, hashed, hashes):
            n_near += 1
        else:
            exact[words] = [number]
            index.insert(number, hashed)
            kept.append(number)
    seen_exact: set[int] = set()
    seen_near: set[int] = set()
    for text in progress(training, "looking for duplicates", unit="document"):
        seen_exact.update(exact.get(_words(text), ()))
        hashed = _hashed(text)
        seen_near.update(number for number in index.query(hashed) if hashed.jaccard(hashes[number]) >= THRESHOLD)
    seen_near -= seen_exact
    left = tuple(number for number in kept if number not in seen_exact | seen_near)
    return Deduplicated(left, n_exact + len(seen_exact), n_near + len(seen_near))


def _is_near(index: MinHashLSH, hashed: MinHash, hashes: Sequence[MinHash]) -> bool:
    return any(hashed.jaccard(hashes[number]) >= THRESHOLD for number in index.query(hashed))


def _words(text: str) -> str:
    return " ".join(WORD.findall(text.lower()))


def _hashed(text: str) -> MinHash:
    words = WORD.findall(text.lower())
    hashed = MinHash(num_perm=N_HASHES)
    n_grams = max(1, len(words) - NGRAM + 1)
    hashed.update_batch([" ".join(words[start : start + NGRAM]).encode() for start in range(n_grams)])
    return hashed
