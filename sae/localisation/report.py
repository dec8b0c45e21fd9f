"""What a localisation run found."""

from dataclasses import asdict, dataclass
from typing import Any

from sae.measurement import Measurement

__all__ = ["ConceptScores", "FamilyScores", "Localisation", "LocalisationTable"]

Scores = dict[str, Measurement]
"""By metric."""


@dataclass(frozen=True)
class ConceptScores:
    """One concept and the feature that was chosen for it.

    Attributes:
        concept: Its name.
        family: The name up to its first colon; empty where it has none.
        n_documents: Documents of the scored half that tell it.
        n_mentions: Mentions of it in all documents.
        feature: The feature.
        label: The feature's name in `labels.json`, if it has one.
        token_type: The token whose presence detects the concept best, chosen like the feature.
        f1_when_chosen: The feature's F1 on the half that it was chosen on; the difference is the winner's curse.
        features: Scores of the feature.
        random_directions: Scores of the best of as many random directions of equal L0.
        token_types: Scores of `token_type`.
        permuted_f1: 95th percentile of the best feature's F1 under permuted concept labels; None where not drawn.
    """

    concept: str
    family: str
    n_documents: int
    n_mentions: int
    feature: int
    label: str | None
    token_type: str
    f1_when_chosen: float
    features: Scores
    random_directions: Scores
    token_types: Scores
    permuted_f1: float | None


@dataclass(frozen=True)
class FamilyScores:
    """Means over the concepts of a family; the family of all concepts is called `all`.

    Attributes:
        family: Its name.
        n_concepts: Concepts that were scored.
        n_above_null: Those whose feature has an F1 above the permuted labels' 95th percentile.
        features: Means of the chosen features' scores.
        random_directions: The same of random directions.
        token_types: The same of token types.
        permuted_f1: 95th percentile of the mean F1 under permuted concept labels.
    """

    family: str
    n_concepts: int
    n_above_null: int | None
    features: Scores
    random_directions: Scores
    token_types: Scores
    permuted_f1: float | None


@dataclass(frozen=True)
class LocalisationTable:
    """Scores on one set of documents.

    Attributes:
        n_documents: Documents that were scored.
        n_tokens: Their tokens.
        families: Means, `all` first.
        concepts: One a concept, the best F1 first.
        left_out: Concepts that too few documents tell, with the number of documents that do.
    """

    n_documents: int
    n_tokens: int
    families: tuple[FamilyScores, ...]
    concepts: tuple[ConceptScores, ...]
    left_out: dict[str, int]


@dataclass(frozen=True)
class Localisation:
    """A dictionary on labelled documents.

    Attributes:
        site: Where the dictionary reads.
        sae: Its directory, if it has one.
        sha256: Hash of its weights.
        d_sae: Its features.
        l0: Active features of a token.
        n_chosen_on: Documents that features were chosen on.
        n_permutations: Draws of the null.
        held_out: Scores on the other half.
        unseen: Scores of the same features on documents that tell the concepts in words of which training had none or
            few; None where the corpus has no such documents.
    """

    site: str
    sae: str | None
    sha256: str
    d_sae: int
    l0: float
    n_chosen_on: int
    n_permutations: int
    held_out: LocalisationTable
    unseen: LocalisationTable | None

    def to_json(self) -> dict[str, Any]:
        """The fields by name."""
        return asdict(self)
