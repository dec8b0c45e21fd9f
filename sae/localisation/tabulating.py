"""Scores with their intervals, by concept and as means over families of concepts."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float64, Int64
from torch import Tensor

from sae.dictionary.feature_acts import FeatureActs
from sae.labelled_documents import family_of
from sae.localisation.labelled_tokens import LabelledTokens
from sae.localisation.permutation_null import NULL_QUANTILE
from sae.localisation.report import ConceptScores, FamilyScores, LocalisationTable
from sae.localisation.scoring import document_tables, scores
from sae.measurement import Measurement, percentile_interval, resampled_counts

__all__ = ["ALL", "ScoredArms", "tabulate"]

ALL = "all"
Draws = dict[str, Float64[Tensor, "draws concepts"]]
"""By metric; the first row is of the documents as they are."""


@dataclass(frozen=True, eq=False)
class ScoredArms:
    """What a table is made of.

    Attributes:
        labelled: The documents.
        in_split: Which of them are scored.
        feature_acts: Of each arm, on all tokens.
        feature_ids: Of each arm, the feature of each concept.
        f1_when_chosen: F1 of the features where they were chosen.
        labels: Names of features.
        token_types: The token type of each concept.
        permuted_f1: F1 under permuted labels, one row a permutation.
    """

    labelled: LabelledTokens
    in_split: Bool[Tensor, " documents"]
    feature_acts: dict[str, FeatureActs]
    feature_ids: dict[str, Int64[Tensor, " concepts"]]
    f1_when_chosen: Float64[Tensor, " concepts"]
    labels: dict[int, str]
    token_types: list[str]
    permuted_f1: Float64[Tensor, "permutations concepts"] | None


def tabulate(arms: ScoredArms, *, left_out: dict[str, int], seed: int) -> LocalisationTable:
    """Score every arm on the same documents, resampled alike."""
    labelled = arms.labelled
    n_documents = int(arms.in_split.sum())
    counts = torch.cat([torch.ones(1, n_documents, dtype=torch.float64), resampled_counts(n_documents, seed=seed)])
    gold = labelled.gold(labelled.mention_concepts)
    draws: dict[str, Draws] = {}
    for arm, acts in arms.feature_acts.items():
        tables = document_tables(acts, gold, arms.feature_ids[arm], labelled.documents, arms.in_split)
        draws[arm] = scores(tables, counts)
    n_telling = tables.has_gold.sum(0).long()
    concepts = [_concept(arms, draws, index, int(n_telling[index])) for index in range(len(labelled.concepts))]
    families = dict.fromkeys([ALL, *sorted({row.family for row in concepts})])
    return LocalisationTable(
        n_documents=n_documents,
        n_tokens=int(arms.in_split[labelled.documents].sum()),
        families=tuple(_family(name, concepts, draws, arms.permuted_f1, n_documents) for name in families),
        concepts=tuple(sorted(concepts, key=lambda row: -(row.features["f1"].value or 0.0))),
        left_out=left_out,
    )


def _concept(arms: ScoredArms, draws: dict[str, Draws], index: int, n_documents: int) -> ConceptScores:
    concept = arms.labelled.concepts[index]
    feature = int(arms.feature_ids["features"][index])
    null = arms.permuted_f1
    return ConceptScores(
        concept=concept,
        family=family_of(concept),
        n_documents=n_documents,
        n_mentions=int(arms.labelled.mention_concepts[:, index].sum()),
        feature=feature,
        label=arms.labels.get(feature),
        token_type=arms.token_types[index],
        f1_when_chosen=float(arms.f1_when_chosen[index]),
        **{
            arm: {metric: _measured(found[:, index], n_documents) for metric, found in of_arm.items()}
            for arm, of_arm in draws.items()
        },
        permuted_f1=None if null is None else float(torch.quantile(null[:, index], NULL_QUANTILE)),
    )


def _family(
    name: str,
    concepts: list[ConceptScores],
    draws: dict[str, Draws],
    null: Float64[Tensor, "permutations concepts"] | None,
    n_documents: int,
) -> FamilyScores:
    columns = [index for index, row in enumerate(concepts) if name in (ALL, row.family)]
    rows = [concepts[index] for index in columns]
    return FamilyScores(
        family=name,
        n_concepts=len(columns),
        n_above_null=None if null is None else sum(_is_above_null(row) for row in rows),
        **{
            arm: {metric: _measured(found[:, columns].nanmean(1), n_documents) for metric, found in of_arm.items()}
            for arm, of_arm in draws.items()
        },
        permuted_f1=None if null is None else float(torch.quantile(null[:, columns].mean(1), NULL_QUANTILE)),
    )


def _is_above_null(row: ConceptScores) -> bool:
    f1 = row.features["f1"].value
    return f1 is not None and row.permuted_f1 is not None and f1 > row.permuted_f1


def _measured(draws: Float64[Tensor, " draws"], n: int) -> Measurement:
    """The first draw is the value, the others make its interval."""
    low, high = percentile_interval(draws[1:])
    return Measurement(float(draws[0]), low, high, n, higher_is_better=True)
