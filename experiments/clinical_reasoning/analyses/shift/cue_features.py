"""Which features are named after the care setting, on vignettes that say nothing of the two diagnoses.

A name is given as the bundle gives them: the concept that a feature detects best on half of the texts, with its F1 on
the other half. The mention is the whole phrase, ` on the ward`, where the labels that come with a dictionary name the
noun alone: a preposition tells the settings apart as well as the noun does.
"""

import random
from collections.abc import Iterable, Mapping

import torch

from circuits.runs.dictionaries import Dictionary
from circuits.workbench import Workbench
from experiments.clinic.cases import sample_case
from experiments.clinic.document import Document, Span
from experiments.clinic.labelled_text import LabelledText, label_documents, site_activations
from experiments.clinic.labels import feature_labels
from experiments.clinic.phrasing import sample_phrasing
from experiments.clinic.vignettes import render
from experiments.clinical_reasoning.matched_latents import LatentStatistics, matched_latents
from sae.dictionary.labels import MIN_LABEL_F1, FeatureLabel
from sae.host.host import HostModel
from sae.host.sites import Site

__all__ = [
    "FAMILY",
    "SiteFeatures",
    "matched_features",
    "named_by_labels",
    "named_by_phrase",
    "phrase_text",
    "text_statistics",
]

FAMILY = "setting:"
N_NEAREST = 20
"""Features nearest in density and size that a random one is drawn from."""
SiteFeatures = dict[Site, dict[int, FeatureLabel]]
"""By site the chosen features, each with its name."""


def phrase_text(host: HostModel, n: int, *, seed: int) -> LabelledText:
    """Vignettes of all diagnoses as tokens, of which those of care settings are marked; settings occur as they do
    everywhere, and go with no diagnosis."""
    rng = random.Random(f"care settings {seed}")
    drawn = (render(sample_case(rng), sample_phrasing(rng, "validation")) for _ in range(n))
    return label_documents(host, [_marked(document) for document in drawn])


def _marked(document: Document) -> Document:
    """With the spans of care settings alone, each of which begins at its preposition."""
    spans = []
    for span in document.spans:
        if span.concept.startswith(FAMILY):
            before = document.text[: span.start].rstrip().rsplit(" ", 2)[0]
            spans.append(Span(len(before) + 1, span.end, span.concept))
    return Document(document.text, document.kind, tuple(spans))


def named_by_phrase(
    host: HostModel, dictionaries: Mapping[Site, Dictionary], sites: Iterable[Site], text: LabelledText
) -> SiteFeatures:
    """Features that detect a care setting's phrase with an F1 of at least that of any name.

    Args:
        host: The model.
        dictionaries: By site.
        sites: Which of them.
        text: What names are given on.
    """
    chosen = [site for site in sites if site in dictionaries]
    activations = site_activations(host, text, chosen)
    return {site: _known_well(feature_labels(text, dictionaries[site].encode(activations[site]))) for site in chosen}


def _known_well(labels: Mapping[int, FeatureLabel]) -> dict[int, FeatureLabel]:
    return {
        feature: label
        for feature, label in labels.items()
        if label.f1 >= MIN_LABEL_F1 and label.text.startswith(FAMILY)
    }


def named_by_labels(workbench: Workbench, sites: Iterable[Site]) -> SiteFeatures:
    """Features whose labels, as they come with the dictionaries, name a care setting."""
    return {
        site: {feature: label for feature, label in workbench.labels[site].items() if label.text.startswith(FAMILY)}
        for site in sites
        if site in workbench.labels
    }


def text_statistics(
    host: HostModel, dictionaries: Mapping[Site, Dictionary], sites: Iterable[Site], text: LabelledText
) -> dict[Site, LatentStatistics]:
    """Density and magnitude on the text that names are given on: what random twins are matched in."""
    found = {}
    for site, x in site_activations(host, text, list(sites)).items():
        acts = dictionaries[site].encode(x).abs()
        found[site] = LatentStatistics.of(dictionaries[site], (acts > 0).sum(0).float(), acts.sum(0), len(acts))
    return found


def matched_features(
    statistics: Mapping[Site, LatentStatistics], chosen: SiteFeatures, *, seed: int
) -> dict[Site, list[int]]:
    """For each chosen feature a random other one that is active about as often and writes about as much."""
    ids = {site: torch.tensor(list(features), dtype=torch.long) for site, features in chosen.items()}
    twins = matched_latents(statistics, ids, seed=seed, n_nearest=N_NEAREST)
    return {site: each.tolist() for site, each in twins.items()}
