"""What the best of many features reaches when the labels mean nothing.

The mentions stay where they are and their concepts are dealt out anew, within each half of the documents; then a
feature is chosen on split A and scored on split B just as it is for the labels proper.
"""

import torch
from jaxtyping import Bool, Float64, Int64
from torch import Tensor

from sae.dictionary.feature_acts import FeatureActs
from sae.localisation.detectors import best_features, token_f1
from sae.localisation.labelled_tokens import LabelledTokens
from sae.progress import progress

__all__ = ["NULL_QUANTILE", "permuted_f1", "permuted_mentions"]

NULL_QUANTILE = 0.95


def permuted_f1(
    feature_acts: FeatureActs, labelled: LabelledTokens, *, n_permutations: int, seed: int = 0
) -> Float64[Tensor, "permutations concepts"]:
    """F1 on split B of the feature that is best on split A, for permuted labels.

    A column is one concept's null: its number of mentions and those of all others are as they were.
    """
    in_b = labelled.in_split_b[labelled.documents]
    generator = torch.Generator().manual_seed(seed)
    rows = []
    for _ in progress(range(n_permutations), "permuting labels"):
        gold = labelled.gold(labelled.mention_concepts[permuted_mentions(labelled, generator)])
        chosen = best_features(feature_acts, gold, ~in_b).feature_ids
        rows.append(token_f1(feature_acts, gold, in_b).gather(0, chosen[None])[0])
    return torch.stack(rows)


def permuted_mentions(labelled: LabelledTokens, generator: torch.Generator) -> Int64[Tensor, " mentions"]:
    """A random order of the mentions in which each stays in its half of the documents."""
    order = torch.arange(len(labelled.mention_documents))
    in_b: Bool[Tensor, " mentions"] = labelled.in_split_b[labelled.mention_documents]
    for half in (in_b, ~in_b):
        places = half.nonzero()[:, 0]
        order[places] = places[torch.randperm(len(places), generator=generator)]
    return order
