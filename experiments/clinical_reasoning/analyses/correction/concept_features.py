"""One feature for each concept, by its label, and where a text says what the feature misses."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from circuits.runs.dictionaries import Dictionary
from experiments.clinical_reasoning.analyses.correction.told_cases import Mention, ToldCase
from experiments.clinical_reasoning.asked_pairs import tokens_of_span
from sae.annotated_text import TextSpan
from sae.dictionary.labels import FeatureLabel
from sae.host.host import HostModel
from sae.host.sites import Site

__all__ = [
    "ConceptFeatures",
    "best_features",
    "mention_tokens",
    "missed_mentions",
    "usual_activations",
    "usual_at_the_end",
]

MISSED = 0.5
"""A concept is missed where its feature stays below this share of its usual activation on the mention."""
BATCH_ROWS = 128


@dataclass(frozen=True)
class ConceptFeatures:
    """What stands for concepts at a site.

    Attributes:
        site: Where.
        features: By concept.
        usual: By concept the median of the feature's largest activation on mentions in words that training used.
    """

    site: Site
    features: Mapping[str, int]
    usual: Mapping[str, float]


def best_features(labels: Mapping[int, FeatureLabel], families: Sequence[str]) -> dict[str, int]:
    """For each concept of some families the feature whose label names it with the best F1.

    Args:
        labels: Of the features of a site.
        families: Prefixes of concepts, such as `pos:`.
    """
    best: dict[str, int] = {}
    for feature, label in labels.items():
        known = best.get(label.text)
        if label.text.startswith(tuple(families)) and (known is None or label.f1 > labels[known].f1):
            best[label.text] = feature
    return best


def mention_tokens(host: HostModel, told: ToldCase) -> list[list[int]]:
    """Of each mention the tokens, counted in the prompt's ids, that hold any of its characters."""
    spans = (TextSpan(mention.start, mention.end, mention.concept) for mention in told.mentions)
    return [tokens_of_span(host, told.prompt, span).tolist() for span in spans]


def _largest(
    host: HostModel, dictionary: Dictionary, site: Site, features: Mapping[str, int], cases: Sequence[ToldCase]
) -> list[list[float | None]]:
    """Of each case and mention the largest activation of the concept's feature on it; None where it has none."""
    ids = torch.tensor(list(features.values()), dtype=torch.long)
    column = {concept: index for index, concept in enumerate(features)}
    found: list[list[float | None]] = [[] for _ in cases]
    order = sorted(range(len(cases)), key=lambda index: len(cases[index].prompt))
    for start in range(0, len(order), BATCH_ROWS):
        chosen = order[start : start + BATCH_ROWS]
        rows = [host.tokenise(cases[index].prompt) for index in chosen]
        batch = host.batch(rows).to(host.device)
        acts: Float[Tensor, "batch seq chosen"] = dictionary.encode_features(host.capture(batch, [site])[site], ids)
        for row, index in enumerate(chosen):
            padding = batch.ids.shape[1] - len(rows[row])
            for mention, tokens in zip(cases[index].mentions, mention_tokens(host, cases[index]), strict=True):
                at = [padding + token for token in tokens]
                known = mention.concept in column
                found[index].append(acts[row, at, column[mention.concept]].max().item() if known else None)
    return found


def usual_activations(
    host: HostModel, dictionary: Dictionary, site: Site, features: Mapping[str, int], cases: Sequence[ToldCase]
) -> ConceptFeatures:
    """The features with their usual activations; those that are never active on their concept are left out.

    Args:
        host: The model.
        dictionary: Of the site.
        site: Where.
        features: By concept.
        cases: Told in words that training used.
    """
    values: dict[str, list[float]] = {}
    for told, largest in zip(cases, _largest(host, dictionary, site, features, cases), strict=True):
        for mention, value in zip(told.mentions, largest, strict=True):
            if value:
                values.setdefault(mention.concept, []).append(value)
    return _medians(site, features, values)


def usual_at_the_end(
    host: HostModel, dictionary: Dictionary, site: Site, features: Mapping[str, int], cases: Sequence[ToldCase]
) -> ConceptFeatures:
    """The same of diagnoses, `latent:DISEASE`: the median activation at the last token of their own cases' prompts."""
    rows = [host.tokenise(told.prompt) for told in cases]
    ids = torch.tensor(list(features.values()), dtype=torch.long)
    values: dict[str, list[float]] = {}
    for start in range(0, len(cases), BATCH_ROWS):
        last = host.capture(host.batch(rows[start : start + BATCH_ROWS]), [site])[site][:, -1]
        acts = dictionary.encode_features(last, ids)
        for told, row in zip(cases[start : start + BATCH_ROWS], acts, strict=True):
            concept = f"latent:{told.case.diagnosis}"
            if concept in features and (value := row[list(features).index(concept)].item()) > 0:
                values.setdefault(concept, []).append(value)
    return _medians(site, features, values)


def _medians(site: Site, features: Mapping[str, int], values: Mapping[str, Sequence[float]]) -> ConceptFeatures:
    usual = {concept: torch.tensor(found).median().item() for concept, found in values.items()}
    return ConceptFeatures(site, {concept: features[concept] for concept in usual}, usual)


def missed_mentions(
    host: HostModel, dictionary: Dictionary, concepts: ConceptFeatures, cases: Sequence[ToldCase]
) -> list[list[Mention]]:
    """Of each case the mentions whose concept has a feature that stays silent, or nearly, on it."""
    largest = _largest(host, dictionary, concepts.site, concepts.features, cases)
    return [
        [
            mention
            for mention, value in zip(told.mentions, values, strict=True)
            if value is not None and value < MISSED * concepts.usual[mention.concept]
        ]
        for told, values in zip(cases, largest, strict=True)
    ]
