"""Do features stand for concepts: one feature per diagnosis and per finding, chosen on split A, scored on split B.

A finding's concept is its mention as present. The host tells present from denied mentions as early as its first layer,
and denied ones have features of their own; the figures for either polarity and for denied ones stand in the details.
"""

import random
from collections.abc import Mapping
from typing import Any

from experiments.clinic.document import Document
from experiments.clinic.labelled_text import LabelledText, label_documents, site_activations
from experiments.clinic.labels import (
    ConceptScores,
    Detection,
    last_token_detection,
    mean_f1,
    score_concepts,
    score_token_identity,
)
from experiments.clinic.measurement import Measurement, bootstrap
from experiments.clinic.other_texts import documents
from experiments.clinic.vignettes import vignette_case
from sae.dictionary.autoencoder import SAE
from sae.dictionary.random_directions import random_dictionary
from sae.host.host import HostModel
from sae.host.sites import Site

__all__ = ["check_features"]

SEED = 13
FINDINGS = "pos:"
TITLES = {"diagnoses": "diagnosis before it is said", "findings": "present findings"}
OTHER_FAMILIES = {"findings_either_polarity": "finding:", "findings_denied": "neg:", "drug_exceptions": "mod:"}


def check_features(
    host: HostModel, dictionaries: Mapping[Site, SAE], *, n_documents: int
) -> tuple[list[Measurement], dict[str, Any]]:
    """Mean F1 of diagnoses (before they are said) and findings, by layer, beside three baselines."""
    residual = {site: sae for site, sae in dictionaries.items() if site.kind == "resid_post"}
    # The glossary tells unseen synonyms too, which are reported apart.
    told = [document for document in documents(n_documents, SEED, "test") if document.kind != "glossary"]
    text = label_documents(host, told)
    table = _by_site(host, residual, text)
    identity = score_token_identity(text)
    table["token identity"] = {
        "diagnoses": mean_f1(identity, text.family("latent:")),
        "findings": mean_f1(identity, text.family(FINDINGS)),
    }
    half = list(residual)[: max(1, len(residual) // 2)]
    measurements = [
        _best(text, table, list(residual), "diagnoses", 0.85),
        _best(text, table, half, "findings", 0.90),
    ]
    unseen = label_documents(host, _unseen_vignettes(n_documents // 2))
    unseen_table = _by_site(host, residual, unseen)
    measurements.append(_report_only(unseen, unseen_table, half, "present findings, unseen synonyms"))
    plain = {name: _without_tensors(row) for name, row in table.items()}
    plain_unseen = {name: _without_tensors(row) for name, row in unseen_table.items()}
    return measurements, {"seen": plain, "unseen": plain_unseen}


def _unseen_vignettes(n: int) -> list[Document]:
    """Test vignettes in which every finding that has an unseen synonym is told by it."""
    rng = random.Random(f"unseen {SEED}")
    cases = [vignette_case(rng, synonyms="unseen") for _ in range(n)]
    return [Document(case.text, "vignette", case.spans) for case in cases]


def _by_site(host: HostModel, dictionaries: Mapping[Site, SAE], text: LabelledText) -> dict[str, dict[str, Any]]:
    activations = site_activations(host, text, list(dictionaries))
    table = {}
    for site, sae in dictionaries.items():
        x = activations[site]
        feature_acts = sae.encode(x)
        l0 = (feature_acts > 0).sum(dim=1).float().mean().item()
        noise = random_dictionary(x, sae, l0=l0)
        scores = score_concepts(Detection.of_mentions(text, feature_acts))
        last = score_concepts(last_token_detection(text, feature_acts))
        noise_scores = score_concepts(Detection.of_mentions(text, noise.encode(x)))
        diagnoses, findings = text.family("latent:"), text.family(FINDINGS)
        table[str(site)] = {
            "diagnoses": mean_f1(scores, diagnoses),
            "findings": mean_f1(scores, findings),
            "findings_last_token": mean_f1(last, findings),
            **{name: mean_f1(scores, text.family(prefix)) for name, prefix in OTHER_FAMILIES.items()},
            "random_diagnoses": mean_f1(noise_scores, diagnoses),
            "random_findings": mean_f1(noise_scores, findings),
            "lowest": _lowest(text, scores, diagnoses + findings),
            "scores": scores,
        }
    return table


def _lowest(text: LabelledText, scores: ConceptScores, columns: list[int]) -> dict[str, float]:
    ordered = sorted((scores.f1_b[column].item(), text.concepts[column]) for column in columns)
    return {concept: round(f1, 3) for f1, concept in ordered[:8]}


def _without_tensors(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if not isinstance(value, ConceptScores)}


def _best(text: LabelledText, table: dict[str, Any], sites: list[Site], what: str, bar: float | None) -> Measurement:
    """The best layer's mean F1; the null is the better of random directions and token identity."""
    best = max(sites, key=lambda site: table[str(site)][what])
    row = table[str(best)]
    columns = text.family("latent:") if what == "diagnoses" else text.family(FINDINGS)
    f1 = row["scores"].f1_b[columns]
    low, high = bootstrap(f1, lambda drawn: drawn.mean(dim=-1))
    nulls = {
        "random directions": row[f"random_{what}"],
        "token identity": table["token identity"][what],
    }
    name = max(nulls, key=lambda key: nulls[key])
    return Measurement(
        f"features: {TITLES[what]}, mean F1 at {best}",
        row[what],
        len(f1),
        low,
        high,
        bar=bar,
        null=nulls[name],
        null_name=name,
    )


def _report_only(text: LabelledText, table: dict[str, Any], sites: list[Site], title: str) -> Measurement:
    best = max(sites, key=lambda site: table[str(site)]["findings"])
    row = table[str(best)]
    f1 = row["scores"].f1_b[text.family(FINDINGS)]
    low, high = bootstrap(f1, lambda drawn: drawn.mean(dim=-1)) if len(f1) else (None, None)
    return Measurement(
        f"features: {title}, mean F1 at {best}",
        row["findings"],
        len(f1),
        low,
        high,
        null=row["random_findings"],
        null_name="random directions",
    )
