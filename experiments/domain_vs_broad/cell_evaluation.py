"""Evaluates dictionaries of one host on both texts, and keeps the sums."""

from collections.abc import Mapping
from pathlib import Path

import torch

from experiments.domain_vs_broad.arms import BROAD, DOMAIN
from experiments.domain_vs_broad.cell_training import dictionary_name
from experiments.domain_vs_broad.profiles import Profile
from experiments.domain_vs_broad.texts import EvaluationText, TrainingRows
from sae.dictionary.autoencoder import SAE
from sae.dictionary.random_directions import random_dictionary_of_density
from sae.evaluation.collecting import collect
from sae.evaluation.degenerate import constant_sae, pca_sae
from sae.evaluation.document_statistics import EvaluationTable
from sae.evaluation.table_files import load_table, save_table
from sae.host.host import HostModel
from sae.host.sites import Site

__all__ = ["TEXTS", "evaluate_dictionaries", "load_tables", "null_arms"]

TEXTS = (DOMAIN, BROAD)
NULL_SAMPLE = 16_384


def evaluate_dictionaries(
    dictionaries: Mapping[str, SAE], host: HostModel, site: Site, texts: Mapping[str, EvaluationText], directory: Path
) -> None:
    """Run every dictionary on both texts, beside the zero and the mean ablation, and write ``domain.safetensors`` and
    ``broad.safetensors``.
    """
    for name, text in texts.items():
        ablations = {"zero": constant_sae(torch.zeros(host.d_model)), "mean": constant_sae(text.mean.float())}
        table = collect(host, text.documents, site, {**dictionaries, **ablations}, shift=text.mean)
        save_table(table, directory / f"{name}.safetensors")


def load_tables(directory: Path) -> dict[str, EvaluationTable]:
    """What `evaluate_dictionaries` wrote, by text."""
    return {name: load_table(directory / f"{name}.safetensors") for name in TEXTS}


def null_arms(profile: Profile, rows: TrainingRows, *, seed: int = 0) -> dict[str, dict[str, SAE]]:
    """Dictionaries that learned nothing, at every wanted L0.

    Args:
        profile: Widths and L0s.
        rows: Activations of the domain's text, which means, scales and components are taken from.
        seed: Of the random directions.

    Returns:
        `random`: as many random directions as a dictionary has features, each active as often as the others.
        `pca`: as many principal components as a token may have active features.
    """
    sample = rows.train[:: max(1, len(rows.train) // NULL_SAMPLE)].float()

    def density(l0: float) -> torch.Tensor:
        return torch.full((profile.d_sae,), l0 / profile.d_sae, dtype=torch.float64)

    return {
        "random": {
            dictionary_name(l0): random_dictionary_of_density(sample, density(l0), seed=seed) for l0 in profile.l0
        },
        "pca": {dictionary_name(l0): pca_sae(sample, min(sample.shape[1], round(l0))) for l0 in profile.l0},
    }
