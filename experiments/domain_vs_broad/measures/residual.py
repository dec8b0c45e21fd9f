"""The error of a dictionary, split into what is linear in the activation and what is not, and what either part costs.

Everything is kept as sums over documents, so that dictionaries of several seeds can be pooled and arms compared in
pairs.
"""

from typing import Any

import torch
from torch import Tensor

from experiments.domain_vs_broad.measures.judged_text import JudgedText
from sae.dictionary.autoencoder import SAE
from sae.evaluation.causal_split import split_costs
from sae.evaluation.document_activations import DocumentActivations, document_activations
from sae.evaluation.residual_error import check_size, compared_reconstructions, error_sums, fit_error
from sae.host.host import HostModel
from sae.host.sites import Site

__all__ = ["RECONSTRUCTIONS", "residual_record"]

RECONSTRUCTIONS = ("sae", "pca", "random")
"""The dictionary's own, and of those that learned nothing the ones that come closest to its explained variance."""
DIGITS = 6
CHUNK_TOKENS = 8192


def residual_record(host: HostModel, sae: SAE, site: Site, text: JudgedText, *, seed: int = 0) -> dict[str, Any]:
    """Of each document: tokens, active features, squares of x about the mean, of each error and of what a linear map
    leaves of it; predictions and what all of the error, its nonlinear and its linear part cost on them, in nats.

    Raises:
        ValueError: There are too few tokens or documents to fit linear maps.
    """
    documents = text.held_out.documents
    check_size(sum(document.n_tokens for document in documents), host.d_model)
    activations, on_cpu = document_activations(host, documents, site), sae.to("cpu")
    made = compared_reconstructions(on_cpu, activations, seed=seed)
    x_hat = made["sae"]()
    fit = fit_error(activations, x_hat)
    sums = {name: error_sums(activations, made[name](), fit=fit if name == "sae" else None) for name in RECONSTRUCTIONS}
    costs = split_costs(host, documents, site, sae, fit)
    return {
        "n_tokens": _listed(sums["sae"]["n"][:, 0]),
        "n_active": _listed(_active(on_cpu, activations)),
        "x_square": _listed(sums["sae"]["x_square"][:, 0]),
        "errors": {
            name: {"square": _listed(each["error_square"].sum(1)), "nonlinear": _listed(each["rest_square"].sum(1))}
            for name, each in sums.items()
        },
        "costs": {name: _listed(cost) for name, cost in vars(costs).items()},
    }


def _active(sae: SAE, activations: DocumentActivations) -> Tensor:
    """Active features of all tokens of each document."""
    l0 = torch.cat([sae.encode_sparse(rows).l0 for rows in activations.x.split(CHUNK_TOKENS)])
    return activations.sums(l0.float()[:, None])[:, 0]


def _listed(of_documents: Tensor) -> list[float]:
    return [float(f"{value:.{DIGITS}g}") for value in of_documents.tolist()]
