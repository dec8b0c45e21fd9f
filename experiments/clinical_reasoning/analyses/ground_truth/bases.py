"""The bases that are compared: SAEs of the domain and broad ones, neurons, directions of mean differences.

Names are given to all of them in one way, on the same documents: of each feature the concept that it detects best on
half of them, kept where its F1 is at least 0.5 on the other half. Of a neuron either sign may be the detector.
"""

from dataclasses import replace

from jaxtyping import Float
from torch import Tensor

from circuits.workbench import Workbench, open_workbench
from experiments.clinic.labelled_text import LabelledText, label_documents, naming_documents, site_activations
from experiments.clinic.labels import feature_labels
from experiments.clinic.other_texts import documents
from experiments.clinical_reasoning.analyses.ground_truth.mean_differences import mean_difference_dictionary
from experiments.clinical_reasoning.subject import Subject
from sae.dictionary.labels import MIN_LABEL_F1, FeatureLabel
from sae.host.host import HostModel
from sae.host.sites import Site

__all__ = ["BROAD", "DOMAIN", "MEAN_DIFFERENCES", "NEURONS", "open_bases"]

DOMAIN, BROAD, NEURONS, MEAN_DIFFERENCES = "domain SAEs", "broad SAEs", "neurons", "mean differences"

N_DIRECTION_DOCUMENTS = 1500
DIRECTION_SEED = 22
FAMILIES = ("pos", "neg", "finding", "measure", "latent", "dx", "mod")
"""Concepts of which there are directions: all that a circuit is asked about."""


def open_bases(
    subject: Subject, *, n_naming: int | None = None, n_direction: int = N_DIRECTION_DOCUMENTS
) -> dict[str, Workbench]:
    """Every basis by its name; broad SAEs only where the subject has some.

    Args:
        subject: The model.
        n_naming: Clinical documents that neurons and directions are named on; by default those of the bundle's SAEs.
        n_direction: Documents of the training split from which the directions are.
    """
    host, sites = subject.workbench.host, list(subject.workbench.dictionaries)
    text = label_documents(host, naming_documents() if n_naming is None else naming_documents(n_naming))
    found = {DOMAIN: subject.workbench}
    if subject.broad is not None:
        found[BROAD] = subject.broad
    found[NEURONS] = _neurons(host, text)
    found[MEAN_DIFFERENCES] = _mean_differences(host, sites, text, n_direction)
    return found


def _neurons(host: HostModel, text: LabelledText) -> Workbench:
    bench = open_workbench(host, basis="neurons")
    labels = {}
    for site in bench.dictionaries:
        # one site at a time: neurons are the widest that is looked at
        activations = site_activations(host, text, [site])[site]
        labels[site] = _either_sign(_names(text, activations.relu()), _names(text, (-activations).relu()))
    return replace(bench, labels=labels)


def _mean_differences(host: HostModel, sites: list[Site], text: LabelledText, n_documents: int) -> Workbench:
    told = label_documents(host, documents(n_documents, DIRECTION_SEED, "train"))
    from_text, on_text = site_activations(host, told, sites), site_activations(host, text, sites)
    dictionaries, labels = {}, {}
    for site in sites:
        dictionary = mean_difference_dictionary(told, from_text[site], site, FAMILIES)
        dictionaries[site] = dictionary
        labels[site] = _names(text, dictionary.encode(on_text[site]))
    return Workbench(host, dictionaries, labels)


def _names(text: LabelledText, feature_acts: Float[Tensor, "tokens features"]) -> dict[int, FeatureLabel]:
    found = feature_labels(text, feature_acts)
    return {feature: label for feature, label in found.items() if label.f1 >= MIN_LABEL_F1}


def _either_sign(positive: dict[int, FeatureLabel], negative: dict[int, FeatureLabel]) -> dict[int, FeatureLabel]:
    """The better of two names."""
    best = dict(positive)
    for feature, label in negative.items():
        if feature not in best or label.f1 > best[feature].f1:
            best[feature] = label
    return best
