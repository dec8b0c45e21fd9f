"""How a text uses a dictionary's features: dead, dense, alive, and how densities are spread."""

from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import torch

from sae.evaluation.document_statistics import DictionaryStatistics, TextStatistics

__all__ = ["FeatureUse", "feature_use"]

DENSITY_EDGES = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1)
ALIVE_DOCUMENTS = 2


@dataclass(frozen=True)
class FeatureUse:
    """Counts of features. They have no intervals: a resample of the text loses rare features and finds no new ones.

    Attributes:
        d_sae: Features of the dictionary.
        n_tokens: Tokens that were looked at; a feature is dead or alive only of so many.
        n_dead: Features active on none of them.
        n_dense_1: Features active on more than 1 % of them.
        n_dense_10: Features active on more than 10 %.
        n_alive: Features active in at least two documents: the width of the dictionary that this text uses.
        histogram: From a range of densities to the number of features in it.
    """

    d_sae: int
    n_tokens: int
    n_dead: int
    n_dense_1: int
    n_dense_10: int
    n_alive: int
    histogram: dict[str, int]

    def to_json(self) -> dict[str, Any]:
        """The fields by name."""
        return asdict(self)


def feature_use(text: TextStatistics, dictionary: DictionaryStatistics) -> FeatureUse:
    """Counts of one dictionary's features on all tokens of a text."""
    n_tokens = int(text.n_tokens.sum())
    density = dictionary.fire_counts.double() / n_tokens
    alive = density[density > 0]
    cells = torch.bucketize(alive, torch.tensor(DENSITY_EDGES, dtype=torch.float64)).bincount(
        minlength=len(DENSITY_EDGES) + 1
    )
    bounds = ["0", *(f"{edge:g}" for edge in DENSITY_EDGES), "1"]
    names = [f"{low} to {high}" for low, high in pairwise(bounds)]
    return FeatureUse(
        d_sae=len(density),
        n_tokens=n_tokens,
        n_dead=int((density == 0).sum()),
        n_dense_1=int((density > 0.01).sum()),
        n_dense_10=int((density > 0.1).sum()),
        n_alive=int((dictionary.fire_documents >= ALIVE_DOCUMENTS).sum()),
        histogram={"0": int((density == 0).sum()), **dict(zip(names, cells.tolist(), strict=True))},
    )
