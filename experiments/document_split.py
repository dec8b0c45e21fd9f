"""Which documents are read in training and which are held out: a matter of their text alone.

The same rule everywhere, so that a text held out from a host's training is also held out from its SAEs' and is the one
that they are judged on, whatever corpus it came from and in whatever order.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator
from itertools import islice

__all__ = ["HELD_OUT_SHARE", "held_out_texts", "is_held_out", "training_texts"]

HELD_OUT_SHARE = 0.05
WHITE_SPACE = re.compile(r"\s+")


def is_held_out(text: str) -> bool:
    """Whether a document is held out: about one in twenty is, by a hash of its text up to case and white space."""
    normalised = WHITE_SPACE.sub(" ", text).strip().lower()
    digest = hashlib.blake2b(normalised.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big") < HELD_OUT_SHARE * 2**64


def training_texts(texts: Iterable[str]) -> Iterator[str]:
    """Those that may be trained on, in their order; blank ones are passed over."""
    return (text for text in texts if text.strip() and not is_held_out(text))


def held_out_texts(texts: Iterable[str], n_documents: int) -> list[str]:
    """The first different held-out ones, `n_documents` at most."""
    different = dict.fromkeys(islice(_held_out(texts), n_documents))
    return list(different)


def _held_out(texts: Iterable[str]) -> Iterator[str]:
    seen: set[str] = set()
    for text in texts:
        if text.strip() and text not in seen and is_held_out(text):
            seen.add(text)
            yield text
