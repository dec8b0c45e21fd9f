"""What the features of one host's dictionaries are judged on: read once, and the same for all of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from experiments.domain_vs_broad.measures.settings import MeasureSettings
from experiments.domain_vs_broad.texts import EvaluationText
from sae.annotated_text import AnnotatedText
from sae.corpora import parse_corpus
from sae.corpus_knowledge import DocumentKind, concept_parents, corpus_documents

__all__ = ["JudgedText", "judged_text"]


@dataclass(frozen=True, eq=False)
class JudgedText:
    """Held-out text of the domain and what is known of it.

    Attributes:
        corpus: SPEC of the text.
        held_out: Documents for the error's split and for explanations.
        labelled: Documents whose concepts are marked; none where the corpus does not know them.
        unseen: Documents that tell the same concepts in words that training hardly used.
        classified: Documents with classes that they do not name.
        parents: The wider concepts of each concept.
    """

    corpus: str
    held_out: EvaluationText
    labelled: Sequence[AnnotatedText] = ()
    unseen: Sequence[AnnotatedText] = ()
    classified: Sequence[AnnotatedText] = ()
    parents: Mapping[str, Sequence[str]] | None = None


def judged_text(corpus: str, held_out: EvaluationText, settings: MeasureSettings) -> JudgedText:
    """What a corpus knows of its own text, as much as is wanted; nothing of files, directories and mixtures."""
    if len(parse_corpus(corpus)) != 1:
        return JudgedText(corpus, held_out)

    def documents(kind: DocumentKind, n: int) -> list[AnnotatedText]:
        return corpus_documents(corpus, n, seed=settings.seed, kind=kind)

    return JudgedText(
        corpus,
        held_out,
        labelled=documents("labelled_documents", settings.labelled),
        unseen=documents("unseen_documents", settings.labelled // 2),
        classified=documents("classified_documents", settings.classified),
        parents=concept_parents(corpus),
    )
