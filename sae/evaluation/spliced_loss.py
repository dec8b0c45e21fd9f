"""What the host's predictions lose when dictionaries stand in for its activations."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from sae.activations.log_probs import next_token_log_probs
from sae.dictionary.autoencoder import SAE
from sae.host.host import Edit, HostModel
from sae.host.sites import Site
from sae.host.token_batch import TokenBatch

__all__ = ["SplicedLoss", "measure_spliced_loss"]

Replacement = Callable[[Float[Tensor, "tokens d_model"]], Float[Tensor, "tokens d_model"]]


@dataclass(frozen=True)
class SplicedLoss:
    """Mean cross-entropy (nats) of next tokens, predicted from the positions that splicing touches.

    Attributes:
        n_predictions: How many tokens were predicted.
        clean: Of the plain host.
        spliced: With every dictionary spliced in and its error dropped.
        zero: With the same sites set to zero.
        mean: With the same sites set to their mean activation.
    """

    n_predictions: int
    clean: float
    spliced: float
    zero: float
    mean: float

    @property
    def delta_ce(self) -> float:
        """Cross-entropy that the dictionaries cost; 0 is perfect."""
        return self.spliced - self.clean

    @property
    def recovered_from_zero(self) -> float | None:
        """Share of zero ablation's cost that is avoided; 1 is perfect. None where zeroing costs nothing."""
        return _share(self.zero - self.spliced, self.zero - self.clean)

    @property
    def recovered_from_mean(self) -> float | None:
        """The same against mean ablation, the harder baseline."""
        return _share(self.mean - self.spliced, self.mean - self.clean)


def measure_spliced_loss(
    host: HostModel,
    documents: Sequence[Int[Tensor, " _"]],
    saes: Mapping[Site, SAE],
    *,
    batch_documents: int = 64,
) -> SplicedLoss:
    """Cross-entropy of documents with dictionaries spliced in, beside the plain host and two ablations.

    Args:
        host: The model.
        documents: Token ids, BOS included.
        saes: Dictionaries by site; all are spliced in at once.
        batch_documents: Documents per forward pass.

    Raises:
        ValueError: There is nothing to predict.
    """
    ordered = sorted(documents, key=len)
    batches = [
        host.batch(ordered[start : start + batch_documents]) for start in range(0, len(ordered), batch_documents)
    ]
    means = _mean_activations(host, batches, list(saes))
    n_predictions = sum(int(_predicting(batch).sum()) for batch in batches)
    if n_predictions == 0:
        raise ValueError(
            "the documents hold no token to predict, expected at least two tokens after BOS in one of them"
        )

    def mean_loss(replacements: Mapping[Site, Replacement]) -> float:
        return sum(_summed_loss(host, batch, replacements) for batch in batches) / n_predictions

    return SplicedLoss(
        n_predictions=n_predictions,
        clean=mean_loss({}),
        spliced=mean_loss({site: _reconstruction(sae) for site, sae in saes.items()}),
        zero=mean_loss(dict.fromkeys(saes, torch.zeros_like)),
        mean=mean_loss({site: _constant(mean) for site, mean in means.items()}),
    )


def _summed_loss(host: HostModel, batch: TokenBatch, replacements: Mapping[Site, Replacement]) -> float:
    """Cross-entropy summed over the predictions of a batch."""
    edits = {site: _at_nodes(replace, batch) for site, replace in replacements.items()}
    log_probs = next_token_log_probs(host.forward(batch, edits).logits, batch)
    return -float(log_probs[_predicting(batch)].double().sum())


def _predicting(batch: TokenBatch) -> Bool[Tensor, "batch seq"]:
    """Positions that splicing touches and that a token follows; rows are padded on the left."""
    predicting = batch.node_mask.clone()
    predicting[:, -1] = False
    return predicting


def _at_nodes(replace: Replacement, batch: TokenBatch) -> Edit:
    """An edit that replaces activations at node positions and passes the others through."""

    def edit(activation: Float[Tensor, "batch seq d_model"]) -> Float[Tensor, "batch seq d_model"]:
        edited = activation.clone()
        edited[batch.node_mask] = replace(activation[batch.node_mask]).to(activation.dtype)
        return edited

    return edit


def _reconstruction(sae: SAE) -> Replacement:
    return lambda x: sae.decode_sparse(sae.encode_sparse(x))


def _constant(mean: Float[Tensor, " d_model"]) -> Replacement:
    return lambda x: mean.expand_as(x)


def _mean_activations(
    host: HostModel, batches: Sequence[TokenBatch], sites: Sequence[Site]
) -> dict[Site, Float[Tensor, " d_model"]]:
    """Mean activation at each site over all node positions."""
    sums = {site: torch.zeros(host.d_model, dtype=torch.float64, device=host.device) for site in sites}
    n_tokens = 0
    for batch in batches:
        for site, activation in host.capture(batch, sites).items():
            sums[site] += activation[batch.node_mask].double().sum(0).to(host.device)
        n_tokens += int(batch.node_mask.sum())
    return {site: (total / n_tokens).float() for site, total in sums.items()}


def _share(part: float, whole: float) -> float | None:
    return part / whole if whole else None
