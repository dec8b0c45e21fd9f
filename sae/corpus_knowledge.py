"""What corpora know of their own texts.

A registered corpus may have methods besides being called for its texts, each called as ``method(PART, seed=...)``; one
that knows nothing of that part gives None, and what a corpus does not know it has no method for:

- ``annotated_texts``: the same stream with what is known of it; takes the same options as the corpus.
- ``labelled_documents``: other documents, whose concepts are marked.
- ``unseen_documents``: the same, worded as training never was.
- ``classified_documents``: documents with classes that their text does not name.
- ``answer_prompts``: prompts, of other documents than its texts, that end where an answer is due.
- ``negation_flips``: pairs of texts that differ only in that the second denies one finding that the first asserts.
- ``concept_parents``: called with the part alone: the wider concepts that each concept belongs to directly.
"""

from collections.abc import Iterator
from itertools import islice
from typing import Any, Literal

from sae.annotated_text import AnnotatedText
from sae.corpora import CorpusPart, called_with_options, corpus_method, mix, parse_corpus, read_part

__all__ = [
    "DocumentKind",
    "annotated_texts",
    "answer_prompts",
    "concept_parents",
    "corpus_documents",
    "known_texts",
    "negation_flips",
]

DocumentKind = Literal["labelled_documents", "unseen_documents", "classified_documents"]


def annotated_texts(spec: str, *, seed: int = 0) -> Iterator[AnnotatedText]:
    """The documents of a corpus with what is known of their places; of texts that nothing is known of, only the text.

    Args:
        spec: The SPEC as it is written on the command line.
        seed: As for `sae.corpora.read_corpus`, which gives the same texts.

    Raises:
        ValueError: As `read_corpus`.
    """
    parts = parse_corpus(spec)
    return mix([_annotated(part, seed) for part in parts], [part.weight for part in parts])


def known_texts(spec: str, *, seed: int = 0) -> Iterator[AnnotatedText] | None:
    """The same, or None where a part of the corpus knows nothing of its texts.

    Raises:
        ValueError: The SPEC cannot be read.
    """
    knows = all(corpus_method(part, "annotated_texts") is not None for part in parse_corpus(spec))
    return annotated_texts(spec, seed=seed) if knows else None


def answer_prompts(spec: str, *, seed: int = 0) -> Iterator[str]:
    """Prompts that end where an answer is due, of a corpus that knows its answers.

    Args:
        spec: The SPEC, or whatever else a store says that its texts were.
        seed: The same seed gives the same prompts.

    Returns:
        The prompts, of a mixture those of the parts that have some, in proportion; without end or none at all.
    """
    try:
        found = _of_parts(spec, "answer_prompts", seed)
    except ValueError:
        found = None
    return iter(()) if found is None else found


def negation_flips(spec: str, *, seed: int = 0) -> Iterator[tuple[AnnotatedText, AnnotatedText]] | None:
    """Pairs of texts of which the second denies what the first asserts; None where the corpus cannot make any.

    Args:
        spec: The SPEC; of a mixture, the pairs of the parts that can make some, in proportion.
        seed: The same seed gives the same pairs.
    """
    return _of_parts(spec, "negation_flips", seed)


def corpus_documents(
    spec: str, n: int, *, seed: int = 0, kind: DocumentKind = "labelled_documents"
) -> list[AnnotatedText]:
    """The first `n` documents that a corpus marks.

    Args:
        spec: One registered corpus, such as `clinic:clinical`.
        n: Documents wanted.
        seed: The same seed gives the same documents.
        kind: Which.

    Returns:
        The documents; none where the corpus does not know.

    Raises:
        ValueError: The SPEC names several corpora.
    """
    part = _only_part(spec)
    found = _asked(part, kind, seed=seed)
    return [] if found is None else list(islice(found, n))


def concept_parents(spec: str) -> dict[str, tuple[str, ...]]:
    """Which wider concepts each concept of a corpus belongs to directly; empty where the corpus does not know.

    Raises:
        ValueError: The SPEC names several corpora.
    """
    return dict(_asked(_only_part(spec), "concept_parents") or {})


def _annotated(part: CorpusPart, seed: int) -> Iterator[AnnotatedText]:
    method = corpus_method(part, "annotated_texts")
    if method is None:
        return (AnnotatedText(text) for text in read_part(part, seed=seed))
    return called_with_options(method, part, seed=seed)


def _of_parts(spec: str, method: str, seed: int) -> Iterator[Any] | None:
    """What the parts that know it give, in proportion; None where none does."""
    answers = [(_asked(part, method, seed=seed), part.weight) for part in parse_corpus(spec)]
    known = [(stream, weight) for stream, weight in answers if stream is not None]
    return mix([stream for stream, _ in known], [weight for _, weight in known]) if known else None


def _asked(part: CorpusPart, name: str, **options: int) -> Any:
    """What one part answers; None where it has no such method."""
    method = corpus_method(part, name)
    return None if method is None else method(part.inner, **options)


def _only_part(spec: str) -> CorpusPart:
    parts = parse_corpus(spec)
    if len(parts) != 1:
        raise ValueError(f"corpus {spec!r} has {len(parts)} parts, expected one whose concepts are known")
    return parts[0]
