"""What corpora know of their own texts: which characters express which concept, and what would deny it.

A registered corpus may have two methods besides being called for its texts, both called as `method(PART, seed=...)`:
`annotated_texts` gives the same stream with what is known of it and takes the same options; `negation_flips` gives
pairs of texts that differ only in that the second denies one finding that the first asserts.
"""

from collections.abc import Iterator

from sae.annotated_text import AnnotatedText
from sae.corpora import CorpusPart, annotated_texts, corpus_method, mix, parse_corpus

__all__ = ["known_texts", "negation_flips"]


def known_texts(spec: str, *, seed: int = 0) -> Iterator[AnnotatedText] | None:
    """The documents of a corpus with what they express; None where a part of it does not know.

    Args:
        spec: The SPEC as it is written on the command line.
        seed: As for `read_corpus`, which gives the same texts.

    Raises:
        ValueError: The SPEC cannot be read.
    """
    knows = all(corpus_method(part, "annotated_texts") is not None for part in parse_corpus(spec))
    return annotated_texts(spec, seed=seed) if knows else None


def negation_flips(spec: str, *, seed: int = 0) -> Iterator[tuple[AnnotatedText, AnnotatedText]] | None:
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
