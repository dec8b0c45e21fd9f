"""Texts of corpora that know what they say: which characters express which concept, and what would deny it.

A registered corpus may have two methods besides being called for its texts, both called as `method(PART, seed=...)`:
`known_texts` gives the same stream as `KnownText`s and takes the same options; `negation_flips` gives pairs of texts
that differ only in that the second denies one finding that the first asserts.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from sae.corpora import CorpusPart, corpus_method, mix, parse_corpus

__all__ = ["KnownText", "Mention", "known_texts", "negation_flips"]


@dataclass(frozen=True)
class Mention:
    """Characters `start` to `end` (exclusive) express a concept."""

    start: int
    end: int
    concept: str


@dataclass(frozen=True)
class KnownText:
    """A text and all that it expresses."""

    text: str
    mentions: tuple[Mention, ...]


def known_texts(spec: str, *, seed: int = 0) -> Iterator[KnownText] | None:
    """The documents of a corpus with what they express; None where a part of it does not know.

    Args:
        spec: The SPEC as it is written on the command line.
        seed: As for `read_corpus`, which gives the same texts.

    Raises:
        ValueError: The SPEC cannot be read.
    """
    parts = parse_corpus(spec)
    streams = [_stream(part, "known_texts", seed=seed, **part.options) for part in parts]
    known = [stream for stream in streams if stream is not None]
    return mix(known, [part.weight for part in parts]) if len(known) == len(parts) else None


def negation_flips(spec: str, *, seed: int = 0) -> Iterator[tuple[KnownText, KnownText]] | None:
    """Pairs of texts of which the second denies what the first asserts; None where the corpus cannot make any.

    Args:
        spec: The SPEC; of a mixture, the pairs of the parts that can make some, in proportion.
        seed: The same seed gives the same pairs.
    """
    streams = [(_stream(part, "negation_flips", seed=seed), part.weight) for part in parse_corpus(spec)]
    able = [(stream, weight) for stream, weight in streams if stream is not None]
    return mix([stream for stream, _ in able], [weight for _, weight in able]) if able else None


def _stream(part: CorpusPart, name: str, **options: object) -> Iterator | None:
    method = corpus_method(part, name)
    return None if method is None else method(part.source.partition(":")[2], **options)
