"""Explanations by concepts: the concept whose mentions a feature detects best, among those that it surely detects."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sparse
import torch
from jaxtyping import Float64
from numpy import ndarray
from scipy.stats import false_discovery_control, hypergeom

from sae.interpretation.concept_text import ConceptText, unit_matrix
from sae.interpretation.roles import Role
from sae.interpretation.windows import TextWindows

__all__ = ["FALSE_DISCOVERY_RATE", "Association", "associations", "best_concepts"]

FALSE_DISCOVERY_RATE = 0.05


@dataclass(frozen=True, eq=False)
class Association:
    """How features and concepts go together on explain documents.

    Attributes:
        f1: Of a feature's firing as a detector of mentions, over windows.
        q: Probability of so many common documents by chance (hypergeometric), corrected for all pairs after
            Benjamini and Hochberg (1995).
    """

    f1: Float64[ndarray, "features concepts"]
    q: Float64[ndarray, "features concepts"]


def associations(windows: TextWindows, features: Sequence[int], concepts: ConceptText) -> Association:
    """Every feature with every concept; documents are what is independent, windows are what is detected."""
    fired, said, _ = _in_explain(windows, features, concepts, windows.of_token, windows.documents)
    both = (fired.T @ said).toarray()
    f1 = 2 * both / np.maximum(fired.sum(0)[:, None] + said.sum(0)[None, :], 1)

    every_document = torch.arange(len(windows.text.texts))
    fired, said, n_documents = _in_explain(windows, features, concepts, windows.text.document_of_token, every_document)
    both = (fired.T @ said).toarray()
    p = hypergeom.sf(both - 1, n_documents, said.sum(0)[None, :], fired.sum(0)[:, None])
    q = false_discovery_control(np.clip(p, 0, 1), axis=None) if p.size else p
    return Association(f1, q.reshape(p.shape))


def best_concepts(association: Association, concepts: ConceptText) -> list[str | None]:
    """For each feature the significant concept with the largest F1; None where no concept is significant."""
    if not concepts.concepts:
        return [None] * len(association.f1)
    f1 = np.where(association.q < FALSE_DISCOVERY_RATE, association.f1, -1.0)
    return [concepts.concepts[row.argmax()] if row.max() > 0 else None for row in f1]


def _in_explain(
    windows: TextWindows,
    features: Sequence[int],
    concepts: ConceptText,
    unit_of_token: torch.Tensor,
    document_of_unit: torch.Tensor,
) -> tuple[sparse.csr_array, sparse.csr_array, int]:
    """Explain units by features, by concepts, and how many units there are."""
    kept = (windows.text.roles == Role.EXPLAIN)[document_of_unit].numpy()
    n_units = len(kept)
    tokens = [windows.text.firings(feature)[0] for feature in features]
    column = torch.arange(len(features)).repeat_interleave(torch.tensor([len(each) for each in tokens]))
    fired = unit_matrix(unit_of_token[torch.cat(tokens)], column, (n_units, len(features)))
    return fired[kept], concepts.units(unit_of_token, n_units)[kept], int(kept.sum())
