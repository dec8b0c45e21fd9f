"""The corpora ``clinic:clinical`` and ``clinic:broad``: endless, reproducible streams of generated documents.

`sae` finds `clinic_corpus` through the entry-point group ``sae.corpora``.
"""

from collections.abc import Callable, Iterator
from itertools import count

from experiments.clinic.broad_text import broad_documents
from experiments.clinic.document import Document
from experiments.clinic.ground_truth import PARENTS, annotated, classified_prompts, labelled_texts, unseen_texts
from experiments.clinic.negation import denied_pairs
from experiments.clinic.other_texts import documents as clinical_documents
from sae.annotated_text import AnnotatedText

__all__ = ["CHUNK_DOCUMENTS", "ClinicCorpus", "broad_texts", "clinic_corpus", "clinical_texts", "document_chunk"]

CHUNK_DOCUMENTS = 1000
"""Documents are generated in chunks of this many, each with a seed of its own."""
CHUNKS_PER_SEED = 1_000_000
"""Chunk seeds of different corpus seeds do not meet before this many chunks."""
SPLITS = ("train", "validation", "test")
ANSWER_SPLIT = "validation"
ANSWER_SEEDS = 1_000_000
"""From here on seeds are of prompts alone."""
GENERATORS: dict[str, Callable[[int, int, str], list[Document]]] = {
    "clinical": clinical_documents,
    "broad": broad_documents,
}


class ClinicCorpus:
    """What the entry point names: called for the texts of a corpus; it also knows what they say.

    Only of ``clinical``: of ``broad`` the other methods give None.
    """

    def __call__(self, name: str, *, split: str = "train", seed: int = 0) -> Iterator[str]:
        """An endless stream of the texts of ``clinic:NAME``.

        Args:
            name: ``clinical`` or ``broad``.
            split: ``train``, ``validation`` or ``test``.
            seed: The same seed gives the same stream.

        Raises:
            ValueError: If there is no such corpus or split.
        """
        _check(name, split)
        return _texts(name, split, seed)

    def annotated_texts(self, name: str, *, split: str = "train", seed: int = 0) -> Iterator[AnnotatedText]:
        """The same stream with every concept that its texts express, and its answers that nothing before gives away."""
        _check(name, split)
        return map(annotated, _documents(name, split, seed))

    def answer_prompts(self, name: str, *, seed: int = 0) -> Iterator[str] | None:
        """Prompts after which a diagnosis is due that nothing before gave away, one of a validation document at most.

        The documents are none of those that the corpus itself streams with a seed below `ANSWER_SEEDS`. None for
        ``broad``, which asks for no diagnosis.

        Raises:
            ValueError: If there is no such corpus.
        """
        _check(name, ANSWER_SPLIT)
        return _diagnosis_prompts(name, seed + ANSWER_SEEDS) if name == "clinical" else None

    def negation_flips(self, name: str, *, seed: int = 0) -> Iterator[tuple[AnnotatedText, AnnotatedText]] | None:
        """Vignettes that assert a finding, each with the same vignette that denies it; None for ``broad``.

        Raises:
            ValueError: If there is no such corpus.
        """
        _check(name, ANSWER_SPLIT)
        if name != "clinical":
            return None
        return ((annotated(asserted), annotated(denied)) for asserted, denied in denied_pairs(seed))

    def labelled_documents(self, name: str, *, seed: int = 0) -> Iterator[AnnotatedText] | None:
        """Test documents whose concepts are marked."""
        return self._known(name, labelled_texts, seed)

    def unseen_documents(self, name: str, *, seed: int = 0) -> Iterator[AnnotatedText] | None:
        """Test vignettes in synonyms that only the glossary of the training text uses."""
        return self._known(name, unseen_texts, seed)

    def classified_documents(self, name: str, *, seed: int = 0) -> Iterator[AnnotatedText] | None:
        """Test prompts with the classes of the diagnosis that they do not name."""
        return self._known(name, classified_prompts, seed)

    def concept_parents(self, name: str) -> dict[str, tuple[str, ...]] | None:
        """The wider concepts of each concept."""
        _check(name, ANSWER_SPLIT)
        return PARENTS if name == "clinical" else None

    def _known(
        self, name: str, read: Callable[[int], Iterator[AnnotatedText]], seed: int
    ) -> Iterator[AnnotatedText] | None:
        _check(name, ANSWER_SPLIT)
        return read(seed) if name == "clinical" else None


clinic_corpus = ClinicCorpus()


def clinical_texts(split: str = "train", *, seed: int = 0) -> Iterator[str]:
    """The stream ``clinic:clinical``."""
    return clinic_corpus("clinical", split=split, seed=seed)


def broad_texts(split: str = "train", *, seed: int = 0) -> Iterator[str]:
    """The stream ``clinic:broad``."""
    return clinic_corpus("broad", split=split, seed=seed)


def document_chunk(name: str, chunk: int, *, split: str = "train", seed: int = 0) -> list[Document]:
    """Documents number ``chunk * CHUNK_DOCUMENTS`` and following of a stream, with their ground truth.

    Raises:
        ValueError: If there is no such corpus or split.
    """
    _check(name, split)
    return GENERATORS[name](CHUNK_DOCUMENTS, seed * CHUNKS_PER_SEED + chunk, split)


def _check(name: str, split: str) -> None:
    """Raise where `name` or `split` is not one of ours."""
    if name not in GENERATORS:
        raise ValueError(f"unknown clinic corpus {name!r}, expected one of {', '.join(GENERATORS)}")
    if split not in SPLITS:
        raise ValueError(f"split must be one of {', '.join(SPLITS)}, got {split!r}")


def _texts(name: str, split: str, seed: int) -> Iterator[str]:
    return (document.text for document in _documents(name, split, seed))


def _documents(name: str, split: str, seed: int) -> Iterator[Document]:
    """Chunk after chunk, without end."""
    for chunk in count():
        yield from document_chunk(name, chunk, split=split, seed=seed)


def _diagnosis_prompts(name: str, seed: int) -> Iterator[str]:
    """Chunk after chunk, without end."""
    for chunk in count():
        for document in document_chunk(name, chunk, split=ANSWER_SPLIT, seed=seed):
            for point in document.answer_points:
                if point.kind == "diagnosis" and not point.revealed:
                    yield document.text[: point.prompt_end]
