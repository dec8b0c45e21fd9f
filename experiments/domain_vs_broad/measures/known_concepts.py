"""What needs a text whose concepts are known: localisation, sparse probes, absorption."""

from typing import Any

from experiments.domain_vs_broad.measures.judged_text import JudgedText
from experiments.domain_vs_broad.measures.settings import MeasureSettings
from sae.dictionary.autoencoder import SAE
from sae.host.host import HostModel
from sae.localisation.localising import localise
from sae.localisation.report import LocalisationTable
from sae.probing.absorption import ArmAbsorption, measure_absorption
from sae.probing.pooled_documents import pool_documents
from sae.probing.sparse_probing import probe_documents

__all__ = ["NOT_KNOWN", "absorption_record", "localisation_record", "probing_record"]

NOT_KNOWN = "the corpus does not say what its texts express"
LOCALISED = ("f1", "pointing", "auprc")
PROBED = ("balanced_accuracy", "f1", "auroc")


def localisation_record(host: HostModel, sae: SAE, text: JudgedText, settings: MeasureSettings) -> dict[str, Any]:
    """Every concept with the scores of the feature, the random direction and the token type that were chosen for it.

    Raises:
        ValueError: No concept is known, or none is told often enough.
    """
    if not text.labelled:
        raise ValueError(NOT_KNOWN)
    found = localise(
        host,
        sae,
        text.labelled,
        unseen=text.unseen,
        n_permutations=settings.permutations,
        seed=settings.seed,
    )
    everything = found.held_out.families[0]
    return {
        "n_documents": found.held_out.n_documents,
        "n_above_null": everything.n_above_null,
        "permuted_f1": everything.permuted_f1,
        "concepts": _concepts(found.held_out),
        "unseen": None if found.unseen is None else _concepts(found.unseen),
    }


def _concepts(table: LocalisationTable) -> list[dict[str, Any]]:
    return [
        {
            "concept": row.concept,
            "feature": row.feature,
            "token_type": row.token_type,
            "f1_when_chosen": row.f1_when_chosen,
            "pointing_chance": row.features["pointing_chance"].value,
            **{metric: row.features[metric].value for metric in LOCALISED},
            **{f"random_{metric}": row.random_directions[metric].value for metric in LOCALISED},
            **{f"token_{metric}": row.token_types[metric].value for metric in LOCALISED},
        }
        for row in sorted(table.concepts, key=lambda row: row.concept)
    ]


def probing_record(host: HostModel, sae: SAE, text: JudgedText, settings: MeasureSettings) -> dict[str, Any]:
    """Every target with the scores of each probe, of true and of shuffled labels.

    Raises:
        ValueError: No class is known, or none has enough documents.
    """
    if not text.classified:
        raise ValueError(NOT_KNOWN)
    found = probe_documents(pool_documents(host, sae, text.classified), seed=settings.seed)
    return {
        "n_documents": list(found.n_documents),
        "methods": list(found.methods),
        "targets": [
            {
                "target": row.target,
                "share": row.share,
                "always_yes": row.always_yes_f1,
                "scores": {method: {name: each[name].value for name in PROBED} for method, each in row.scores.items()},
                "shuffled": {
                    method: {name: each[name].value for name in PROBED} for method, each in row.shuffled.items()
                },
            }
            for row in found.targets
        ],
    }


def absorption_record(host: HostModel, sae: SAE, text: JudgedText, settings: MeasureSettings) -> dict[str, Any]:
    """Every pair of a parent and a child, of the hierarchy and of both controls.

    Raises:
        ValueError: No hierarchy of concepts is known, or too few of them are told often enough.
    """
    if not (text.labelled and text.parents):
        raise ValueError(NOT_KNOWN)
    found = measure_absorption(host, sae, text.labelled, text.parents, seed=settings.seed)
    return {name: _pairs(getattr(found, name)) for name in ("hierarchy", "matched", "shuffled")}


def _pairs(arm: ArmAbsorption) -> list[dict[str, Any]]:
    return [
        {
            "pair": f"{pair.child} < {pair.parent}",
            "n": pair.n,
            "absorbed": pair.absorbed,
            "silent": pair.silent,
            "silent_on_siblings": pair.silent_on_siblings,
        }
        for pair in sorted(arm.pairs, key=lambda pair: (pair.parent, pair.child))
    ]
