"""Feature localisation accuracy: does the feature of a concept fire on the words that express it, and only there.

1. Documents are split in halves by a hash of their text.
2. On split A the feature with the best token-level F1 is chosen for each concept.
3. On split B that feature is scored, beside the best token type and the best random direction chosen likewise, and
   beside what features reach when concept labels are permuted.
4. Where the corpus can tell its concepts in other words, the same features are scored on those.

No definition of localisation accuracy was found in the literature; this one is ours.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float64, Int64
from torch import Tensor

from sae.activations.row_activations import encoded_rows, reading_site, sampled_activations
from sae.annotated_text import AnnotatedText
from sae.dictionary.autoencoder import SAE
from sae.dictionary.feature_acts import FeatureActs
from sae.dictionary.labels import load_labels
from sae.dictionary.random_directions import random_dictionary
from sae.host.host import HostModel
from sae.labelled_documents import check_concepts
from sae.localisation.detectors import ChosenFeatures, best_features, token_type_acts
from sae.localisation.labelled_tokens import LabelledTokens, label_tokens
from sae.localisation.permutation_null import permuted_f1
from sae.localisation.report import Localisation, LocalisationTable
from sae.localisation.tabulating import ScoredArms, tabulate

__all__ = ["ARMS", "MIN_DOCUMENTS", "localise"]

MIN_DOCUMENTS = 8
"""Concepts that fewer documents of either half tell are left out."""
ARMS = ("features", "random_directions", "token_types")


def localise(
    host: HostModel,
    sae: SAE,
    documents: Sequence[AnnotatedText],
    *,
    unseen: Sequence[AnnotatedText] = (),
    concepts: Sequence[str] | None = None,
    n_permutations: int = 100,
    seed: int = 0,
) -> Localisation:
    """Choose a feature for each concept and score it on other documents.

    Args:
        host: The model.
        sae: The dictionary, which must know its site.
        documents: With the spans of their concepts.
        unseen: Documents that tell the same concepts in other words; all of them are scored.
        concepts: The concepts to score; all that are told by default.
        n_permutations: Draws of the permutation null; 0 leaves it out.
        seed: Of the random directions, the permutations and the resampled documents.

    Raises:
        ValueError: A concept is unknown, or no concept is told by enough documents of both halves.
    """
    if concepts is not None:
        check_concepts(concepts, sorted(_told(documents)), what="--concepts")
    labelled = label_tokens(host, documents, concepts=concepts)
    scored, left_out = _enough(labelled)
    other = label_tokens(host, unseen, concepts=scored.concepts) if unseen else None
    saes = [sae, _random_like(host, sae, scored, seed)]
    types = torch.cat([scored.token_ids, *([] if other is None else [other.token_ids])]).unique()
    arms = _encoded(host, saes, scored, types)
    chosen = {name: _choose(acts, scored) for name, acts in arms.items()}
    null = permuted_f1(arms["features"], scored, n_permutations=n_permutations, seed=seed) if n_permutations else None
    names = _Names(
        {feature: label.text for feature, label in load_labels(sae.path).items()},
        [host.tokenizer.decode([token]) for token in types.tolist()],
    )
    held_out = _scored(arms, chosen, scored, scored.in_split_b, names, null)
    return Localisation(
        site=str(reading_site(sae)),
        sae=None if sae.path is None else str(sae.path),
        sha256=sae.content_hash,
        d_sae=sae.d_sae,
        l0=len(arms["features"].values) / scored.n_tokens,
        n_chosen_on=int((~scored.in_split_b).sum()),
        n_permutations=n_permutations,
        held_out=tabulate(held_out, left_out=left_out, seed=seed),
        unseen=None if other is None else _on_unseen(host, saes, other, types, chosen, names, seed),
    )


@dataclass(frozen=True)
class _Names:
    """What features and token types are called."""

    labels: dict[int, str]
    types: list[str]


def _told(documents: Sequence[AnnotatedText]) -> set[str]:
    return {span.concept for document in documents for span in document.concepts}


def _enough(labelled: LabelledTokens) -> tuple[LabelledTokens, dict[str, int]]:
    """The same with the concepts that enough documents of both halves tell, and how many tell the others.

    Raises:
        ValueError: There is none.
    """
    told = _documents_that_tell(labelled)
    in_b = labelled.in_split_b
    kept = (told[in_b].sum(0) >= MIN_DOCUMENTS) & (told[~in_b].sum(0) >= MIN_DOCUMENTS)
    if not bool(kept.any()):
        raise ValueError(
            f"none of {len(labelled.concepts)} concepts is told by {MIN_DOCUMENTS} documents in each half of "
            f"{labelled.n_documents}; give more documents"
        )
    left_out = {
        name: int(n)
        for name, n, is_kept in zip(labelled.concepts, told.sum(0), kept.tolist(), strict=True)
        if not is_kept
    }
    names = tuple(name for name, is_kept in zip(labelled.concepts, kept.tolist(), strict=True) if is_kept)
    return replace(labelled, concepts=names, mention_concepts=labelled.mention_concepts[:, kept]), left_out


def _documents_that_tell(labelled: LabelledTokens) -> Bool[Tensor, "documents concepts"]:
    counts = torch.zeros(labelled.n_documents, len(labelled.concepts))
    return counts.index_add_(0, labelled.mention_documents, labelled.mention_concepts.float()) > 0


def _random_like(host: HostModel, sae: SAE, labelled: LabelledTokens, seed: int) -> SAE:
    x = sampled_activations(host, reading_site(sae), labelled.rows, seed=seed)
    acts = sae.encode_sparse(x.to(sae.device))
    null = random_dictionary(x, sae, l0=len(acts.values) / len(x), seed=seed)
    return null.to(sae.device)


def _encoded(
    host: HostModel, saes: Sequence[SAE], labelled: LabelledTokens, types: Int64[Tensor, " types"]
) -> dict[str, FeatureActs]:
    acts = [*encoded_rows(host, saes, labelled.rows), token_type_acts(labelled.token_ids, types)]
    return dict(zip(ARMS, acts, strict=True))


def _choose(feature_acts: FeatureActs, labelled: LabelledTokens) -> ChosenFeatures:
    among = ~labelled.in_split_b[labelled.documents]
    return best_features(feature_acts, labelled.gold(labelled.mention_concepts), among)


def _scored(
    arms: dict[str, FeatureActs],
    chosen: dict[str, ChosenFeatures],
    labelled: LabelledTokens,
    in_split: Bool[Tensor, " documents"],
    names: _Names,
    null: Float64[Tensor, "permutations concepts"] | None,
) -> ScoredArms:
    features = chosen["features"]
    return ScoredArms(
        labelled=labelled,
        in_split=in_split,
        feature_acts=arms,
        feature_ids={name: choice.feature_ids for name, choice in chosen.items()},
        f1_when_chosen=features.f1,
        labels=names.labels,
        token_types=[names.types[int(index)] for index in chosen["token_types"].feature_ids],
        permuted_f1=null,
    )


def _on_unseen(
    host: HostModel,
    saes: Sequence[SAE],
    other: LabelledTokens,
    types: Int64[Tensor, " types"],
    chosen: dict[str, ChosenFeatures],
    names: _Names,
    seed: int,
) -> LocalisationTable | None:
    """The table of features that were chosen elsewhere, for the concepts that enough documents tell, if any."""
    arms = _encoded(host, saes, other, types)
    told = _documents_that_tell(other).sum(0)
    kept = (told >= MIN_DOCUMENTS).nonzero()[:, 0]
    if len(kept) == 0:
        return None
    subset = replace(
        other,
        concepts=tuple(other.concepts[int(index)] for index in kept),
        mention_concepts=other.mention_concepts[:, kept],
    )
    some = {name: ChosenFeatures(choice.feature_ids[kept], choice.f1[kept]) for name, choice in chosen.items()}
    every = torch.ones(other.n_documents, dtype=torch.bool)
    return tabulate(_scored(arms, some, subset, every, names, None), left_out={}, seed=seed)
