"""What the looked-at numbers are from: which host, dictionary and corpus."""

from collections.abc import Sequence

from sae.dictionary.autoencoder import SAE
from sae.dictionary.formats.stored import RECORD
from sae.host.host import HostModel
from sae.inspection.activity import Activity
from sae.inspection.reports import Source

__all__ = ["check_features", "recorded_corpus", "recorded_host", "source_of"]


def recorded_corpus(sae: SAE) -> str | None:
    """SPEC of the corpus that the dictionary was trained on, if it says so."""
    ours = sae.metadata.get(RECORD) or {}
    return ours.get("corpus") or sae.metadata.get("dataset_path")


def recorded_host(sae: SAE) -> str | None:
    """Name of the model that the dictionary was trained on, if it says so."""
    ours = sae.metadata.get(RECORD) or {}
    return (ours.get("host") or {}).get("name") or sae.metadata.get("model_name")


def source_of(host: HostModel, sae: SAE, activity: Activity, corpus: str) -> Source:
    """Where a report's numbers are from."""
    return Source(
        model=host.name,
        site=str(sae.site),
        sae=None if sae.path is None else str(sae.path),
        sha256=sae.content_hash,
        d_sae=sae.d_sae,
        corpus=corpus,
        n_tokens=activity.n_tokens,
        n_documents=activity.n_documents,
    )


def check_features(sae: SAE, features: Sequence[int]) -> None:
    """Make sure that the dictionary has some features.

    Raises:
        ValueError: It lacks one of them, or there is none.
    """
    if not features:
        raise ValueError("no feature was asked for, expected at least one")
    for feature in features:
        if not 0 <= feature < sae.d_sae:
            raise ValueError(f"feature {feature} is not in the SAE, expected 0 to {sae.d_sae - 1}")
