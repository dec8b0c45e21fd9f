"""The parts of an evaluation that go over the activations more than once: the error's split, the description length."""

from collections.abc import Sequence
from typing import Any

from sae.dictionary.autoencoder import SAE
from sae.evaluation.causal_split import causal_split
from sae.evaluation.description_length import description_length
from sae.evaluation.document_activations import DocumentActivations, document_activations
from sae.evaluation.evaluating import site_of
from sae.evaluation.position_classes import EvaluationDocument
from sae.evaluation.residual_error import check_size, fit_error, pca_of_equal_variance, reconstructed, residual_error
from sae.host.host import HostModel

__all__ = ["evaluate_in_memory"]


def evaluate_in_memory(
    sae: SAE,
    host: HostModel,
    documents: Sequence[EvaluationDocument],
    *,
    residual: bool = False,
    bits: bool = False,
    seed: int = 0,
) -> dict[str, Any]:
    """What is wanted of both, for a report.

    Args:
        sae: The dictionary.
        host: Its host.
        documents: Held-out documents.
        residual: Whether to split the error.
        bits: Whether to measure the description length, beside that of principal components of equal variance.
        seed: Of the random null and of the resampling.

    Raises:
        ValueError: As `residual_error` and `description_length`, before anything long is run.
    """
    site = site_of(sae, host)
    if residual:
        check_size(sum(document.n_tokens for document in documents), host.d_model)
    if not (residual or bits):
        return {}
    activations, sae = document_activations(host, documents, site), sae.to("cpu")
    found: dict[str, Any] = {}
    if residual:
        parts = residual_error(sae, activations, seed=seed)
        fit = fit_error(activations, reconstructed(sae, activations.x))
        split = causal_split(host, documents, site, sae.to(host.device), fit, seed=seed)
        found["residual_error"] = {
            "parts": {name: part.to_json() for name, part in parts.items()},
            "causal_split": split.to_json(),
        }
    if bits:
        found["description_length"] = {
            name: description_length(dictionary, activations, seed=seed).to_json()
            for name, dictionary in {"sae": sae, "pca": _components(sae, activations)}.items()
        }
    return found


def _components(sae: SAE, activations: DocumentActivations) -> SAE:
    return pca_of_equal_variance(activations.x, reconstructed(sae, activations.x))
