"""Scores without an explanation: are the texts that a feature is active in alike, by their words?

Words and pairs of words, weighted by TF-IDF of explain windows. The activations and the model take no part.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sparse
from jaxtyping import Float64
from numpy import ndarray
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.preprocessing import normalize

from sae.interpretation.sampling import BASE_TIER, Example, Sample

__all__ = [
    "N_SHOWN",
    "IntruderGroup",
    "WindowEmbedding",
    "embedding_intruder",
    "embedding_similarity",
    "intruder_groups",
]

N_SHOWN = 5
"""Texts of an intruder task, the intruder among them: chance is one in so many."""
MOST_TERMS = 50_000
TOKEN = r"(?u)\b\w+\b"


@dataclass(frozen=True)
class IntruderGroup:
    """Windows of which one does not belong to the others.

    Attributes:
        shown: All of them.
        place: Which one, counted from 0.
    """

    shown: tuple[Example, ...]
    place: int


class WindowEmbedding:
    """Unit vectors of windows.

    Args:
        texts: The text of every window that may be asked for.
        fitted_on: Those that the weights are learnt from, explain windows only.
    """

    def __init__(self, texts: Mapping[int, str], fitted_on: Sequence[int]) -> None:
        vectorizer = TfidfVectorizer(
            ngram_range=(1, 2), sublinear_tf=True, max_features=MOST_TERMS, token_pattern=TOKEN
        )
        try:
            vectorizer.fit([texts[window] for window in fitted_on])
        except ValueError:
            raise ValueError("the explain windows have no word in them, expected text; give another corpus") from None
        self._row = {window: row for row, window in enumerate(texts)}
        self._vectors = sparse.csr_array(vectorizer.transform(texts.values()))

    def of(self, windows: Sequence[int]) -> sparse.csr_array:
        """The vectors of some windows, one a row."""
        return self._vectors[[self._row[window] for window in windows]]


def embedding_similarity(embedding: WindowEmbedding, explain: Sequence[int], examples: Sequence[int]) -> list[float]:
    """Cosine of each example with the mean of the explain windows: what the AUROC is taken of."""
    mean = np.asarray(embedding.of(explain).mean(axis=0)).reshape(1, -1)
    cosines: Float64[ndarray, " examples"] = embedding.of(examples) @ normalize(mean)[0]
    return [float(cosine) for cosine in cosines]


def intruder_groups(sample: Sample, *, null: bool = False) -> list[IntruderGroup]:
    """Groups of active windows with one inactive one among them, and at which place it stands.

    Every window is in one group at most; the places go round, so that none of them is the better guess.

    Args:
        sample: The windows.
        null: Take inactive windows throughout, so that nothing sets one of a group apart.
    """
    positives = [each for each in sample.examples if each.is_positive]
    intruders = [each for each in sample.examples if each.tier == BASE_TIER]
    if null:
        n_intruders = len(intruders) // N_SHOWN
        positives, intruders = intruders[n_intruders:], intruders[:n_intruders]
    n_groups = min(len(positives) // (N_SHOWN - 1), len(intruders))
    groups = []
    for number in range(n_groups):
        place = (number + sample.feature) % N_SHOWN
        # strides mix weak and strong ones, which stand in order
        shown = positives[number::n_groups][: N_SHOWN - 1]
        groups.append(IntruderGroup((*shown[:place], intruders[number], *shown[place:]), place))
    return groups


def embedding_intruder(embedding: WindowEmbedding, groups: Sequence[IntruderGroup]) -> float | None:
    """Share of the groups whose intruder is least like the others; equal ones count as a guess among them."""
    credits = []
    for group in groups:
        vectors = embedding.of([each.window for each in group.shown])
        likeness = (vectors @ vectors.T).toarray().sum(1) - 1
        lowest = np.isclose(likeness, likeness.min())
        credits.append(float(lowest[group.place]) / lowest.sum())
    return sum(credits) / len(credits) if credits else None
