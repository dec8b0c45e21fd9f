"""What the two parts of a dictionary's error cost the host: the linear one alone, and the nonlinear one alone.

With e = x - x_hat and W x + b its linear prediction, the host is run on x_hat, on x_hat + W x + b, where only the
nonlinear part of the error is left, and on x - W x - b, where only the linear part is left. Each document meets the
maps that did not see it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from sae.dictionary.autoencoder import SAE
from sae.evaluation.cross_fitted_ridge import CrossFit, folds_of
from sae.evaluation.evaluation_batches import evaluation_batches
from sae.evaluation.next_token_scores import next_token_scores
from sae.evaluation.position_classes import EvaluationDocument
from sae.host.host import HostModel
from sae.host.sites import Site
from sae.measurement import Measurement, bootstrap

__all__ = ["CausalSplit", "SplitCosts", "causal_split", "split_costs"]


@dataclass(frozen=True)
class CausalSplit:
    """Cross-entropy (nats a token) that each error costs, with intervals over documents.

    Attributes:
        delta_ce: All of the error.
        delta_ce_nonlinear: Only its nonlinear part.
        delta_ce_linear: Only its linear part.
        nonlinear_share: The second over the first; the parts need not add up, since the host is not linear.
    """

    delta_ce: Measurement
    delta_ce_nonlinear: Measurement
    delta_ce_linear: Measurement
    nonlinear_share: Measurement

    def to_json(self) -> dict[str, Any]:
        """The fields by name."""
        return {name: measurement.to_json() for name, measurement in vars(self).items()}


@dataclass(frozen=True, eq=False)
class SplitCosts:
    """The same as sums over each document's predictions, in nats; divided by `n_predictions` they are delta CE."""

    all: Float64[Tensor, " documents"]
    nonlinear: Float64[Tensor, " documents"]
    linear: Float64[Tensor, " documents"]
    n_predictions: Float64[Tensor, " documents"]


def causal_split(
    host: HostModel, documents: Sequence[EvaluationDocument], site: Site, sae: SAE, fit: CrossFit, *, seed: int = 0
) -> CausalSplit:
    """Run documents with each error spliced in.

    Args:
        host: The model.
        documents: Those that the maps were fitted on, in the same order.
        site: Of the dictionary.
        sae: The dictionary.
        fit: Of its error on x; outputs after the first d_model are not used.
        seed: Of the resampling.
    """
    costs = split_costs(host, documents, site, sae, fit)

    def per_token(cost: Float64[Tensor, " documents"]) -> Measurement:
        return bootstrap(
            lambda counts: counts @ cost / (counts @ costs.n_predictions),
            len(documents),
            seed=seed,
            unit="nats",
            higher_is_better=False,
        )

    share = bootstrap(lambda counts: counts @ costs.nonlinear / (counts @ costs.all), len(documents), seed=seed)
    return CausalSplit(per_token(costs.all), per_token(costs.nonlinear), per_token(costs.linear), share)


@torch.no_grad()
def split_costs(
    host: HostModel, documents: Sequence[EvaluationDocument], site: Site, sae: SAE, fit: CrossFit
) -> SplitCosts:
    """What each error costs each document; arguments as of `causal_split`."""
    names = ("all", "nonlinear", "linear")
    costs = {name: torch.zeros(len(documents), dtype=torch.float64) for name in names}
    n_predictions = torch.zeros(len(documents), dtype=torch.float64)
    last = host.sites[-1]
    for batch in evaluation_batches(host, documents, "splitting the loss"):
        clean = host.capture(batch.tokens, {site, last})
        x = clean[site][batch.mask].float()
        x_hat = sae.decode_sparse(sae.encode_sparse(x))
        linear = _predicted(fit, x, batch.token_documents)
        replaced = {"all": x_hat, "nonlinear": x_hat + linear, "linear": x - linear}
        streams = {
            name: batch.predicted(host.last_stream(batch.tokens, site, batch.replaced(clean[site], vectors)))
            for name, vectors in replaced.items()
        }
        plain, runs = next_token_scores(host, batch.predicted(clean[last]), streams, batch.next_ids)
        of_documents = batch.token_documents[batch.predicting].cpu()
        n_predictions.index_add_(0, of_documents, torch.ones_like(plain.cross_entropy).cpu())
        for name, scores in runs.items():
            costs[name].index_add_(0, of_documents, (scores.cross_entropy - plain.cross_entropy).cpu())
    return SplitCosts(n_predictions=n_predictions, **costs)


def _predicted(
    fit: CrossFit, x: Float[Tensor, "tokens d_model"], token_documents: Int64[Tensor, " tokens"]
) -> Float[Tensor, "tokens d_model"]:
    """The linear part of each token's error, by the map of its document's fold."""
    folds, found = folds_of(token_documents), torch.empty_like(x)
    for fold, linear_map in enumerate(fit.maps):
        rows = folds == fold
        weight, bias = linear_map.weight.to(x)[:, : x.shape[1]], linear_map.bias.to(x)[: x.shape[1]]
        found[rows] = x[rows] @ weight + bias
    return found
