"""The labelled documents of a command."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from sae.annotated_text import AnnotatedText
    from sae.corpus_knowledge import DocumentKind

__all__ = ["check_source", "labelled"]


def check_source(corpus: str | None, labels: Path | None) -> None:
    """Exactly one of the two says where documents come from.

    Raises:
        click.UsageError: None or both of them were given.
    """
    if (corpus is None) == (labels is None):
        raise click.UsageError("give either --corpus or --labels")


def labelled(corpus: str | None, labels: Path | None, n: int, seed: int, *, kind: DocumentKind) -> list[AnnotatedText]:
    """Documents of a label file or of a corpus that knows what its texts say.

    Raises:
        ValueError: The file is damaged, or the corpus knows nothing of that kind.
    """
    from sae.corpus_knowledge import corpus_documents
    from sae.labelled_documents import read_label_file

    if labels is not None:
        return read_label_file(labels)
    assert corpus is not None
    found = corpus_documents(corpus, n, seed=seed, kind=kind)
    if not found:
        raise ValueError(
            f"corpus {corpus!r} does not say what its texts express, expected one that does, such as "
            "clinic:clinical; or give --labels with a file of {text, concepts: [{start, end, concept}]} lines"
        )
    return found
