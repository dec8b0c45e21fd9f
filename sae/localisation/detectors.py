"""What points at concepts: the features of a dictionary, or the types of tokens; and which of them is the best for one.

Both are sparse activations over the same tokens, so that the baseline goes through every step that the features go
through.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Float64, Int64
from torch import Tensor

from sae.dictionary.feature_acts import FeatureActs

__all__ = ["ChosenFeatures", "Columns", "best_features", "token_f1", "token_type_acts"]


def token_type_acts(token_ids: Int64[Tensor, " tokens"], types: Int64[Tensor, " types"]) -> FeatureActs:
    """One feature a type of token, with activation 1 on its tokens.

    Args:
        token_ids: The tokens.
        types: All ids that occur among them, and perhaps others, in ascending order: feature i is `types[i]`.
    """
    numbers = torch.searchsorted(types, token_ids)
    return FeatureActs(torch.ones(len(token_ids)), numbers, torch.arange(len(token_ids) + 1), len(types))


@dataclass(frozen=True, eq=False)
class ChosenFeatures:
    """For each concept the feature that detects it best.

    Attributes:
        feature_ids: The first of the best.
        f1: Its token-level F1 on the tokens that it was chosen on.
    """

    feature_ids: Int64[Tensor, " concepts"]
    f1: Float64[Tensor, " concepts"]


def best_features(
    feature_acts: FeatureActs, gold: Bool[Tensor, "tokens concepts"], among: Bool[Tensor, " tokens"]
) -> ChosenFeatures:
    """The feature with the best F1 of {a > 0} against the gold tokens, for each concept.

    Args:
        feature_acts: Of all tokens.
        gold: Tokens in a mention of each concept.
        among: Tokens to judge by.
    """
    f1, feature_ids = token_f1(feature_acts, gold, among).max(0)
    return ChosenFeatures(feature_ids, f1)


def token_f1(
    feature_acts: FeatureActs, gold: Bool[Tensor, "tokens concepts"], among: Bool[Tensor, " tokens"]
) -> Float64[Tensor, "d_sae concepts"]:
    """F1 = 2 |fired and gold| / (|fired| + |gold|) of every feature for every concept; 0 where nothing is gold."""
    tokens = feature_acts.token_ids()
    kept = among[tokens]
    tokens, features = tokens[kept], feature_acts.feature_ids[kept]
    n_fired = torch.bincount(features, minlength=feature_acts.d_sae).double()
    n_gold = gold[among].sum(0).double()
    # only tokens of some mention can be true positives
    is_told = gold.any(1)[tokens]
    places = torch.stack([features[is_told], tokens[is_told]])
    fired = torch.sparse_coo_tensor(
        places, torch.ones(places.shape[1]), (feature_acts.d_sae, len(gold)), check_invariants=False
    )
    true_positives = torch.sparse.mm(fired, gold.float()).double()
    return 2 * true_positives / (n_fired[:, None] + n_gold).clamp(min=1)


@dataclass(frozen=True, eq=False)
class Columns:
    """Sparse activations ordered by feature, so that one feature can be read off all tokens."""

    values: Float[Tensor, " active"]
    tokens: Int64[Tensor, " active"]
    feature_offsets: Int64[Tensor, " offsets"]

    @classmethod
    def of(cls, feature_acts: FeatureActs, among: Bool[Tensor, " tokens"]) -> "Columns":
        """The activations of some tokens."""
        tokens = feature_acts.token_ids()
        kept = among[tokens].nonzero()[:, 0]
        features = feature_acts.feature_ids[kept]
        order = kept[features.argsort(stable=True)]
        counts = torch.bincount(features, minlength=feature_acts.d_sae)
        offsets = torch.nn.functional.pad(counts.cumsum(0), (1, 0))
        return cls(feature_acts.values[order], tokens[order], offsets)

    def feature(self, feature_id: int) -> tuple[Int64[Tensor, " active"], Float[Tensor, " active"]]:
        """Tokens, in order, on which a feature is active, and its activations there."""
        own = slice(int(self.feature_offsets[feature_id]), int(self.feature_offsets[feature_id + 1]))
        return self.tokens[own], self.values[own]
