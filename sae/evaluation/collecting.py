"""One pass over documents that sums up what several dictionaries at one site keep of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from sae.dictionary.autoencoder import SAE
from sae.evaluation.document_statistics import (
    DictionaryStatistics,
    EvaluationTable,
    TextStatistics,
    digest_of,
)
from sae.evaluation.evaluation_batches import EvaluationBatch, evaluation_batches
from sae.evaluation.next_token_scores import NextTokenScores, next_token_scores
from sae.evaluation.position_classes import CLASSES, EvaluationDocument
from sae.evaluation.running_sums import RunningSums
from sae.host.host import HostModel
from sae.host.sites import Site

__all__ = ["collect"]


@torch.no_grad()
def collect(
    host: HostModel,
    documents: Sequence[EvaluationDocument],
    site: Site,
    dictionaries: Mapping[str, SAE],
    *,
    shift: Float64[Tensor, " d_model"],
) -> EvaluationTable:
    """Evaluate dictionaries on documents, with each of them spliced in by itself and its error dropped.

    Args:
        host: The model.
        documents: The units.
        site: Where the dictionaries belong.
        dictionaries: By name.
        shift: The documents' mean activation, about which squares are summed.

    Raises:
        ValueError: A dictionary is of another width than the host.
    """
    collector = _Collector(host, site, dictionaries, shift, len(documents))
    for batch in evaluation_batches(host, documents, "evaluating"):
        collector.add(batch)
    return collector.table(digest_of(documents))


class _Collector:
    """The sums of all dictionaries, batch after batch."""

    def __init__(
        self, host: HostModel, site: Site, dictionaries: Mapping[str, SAE], shift: Tensor, n_documents: int
    ) -> None:
        self._host, self._site = host, site
        self._dictionaries = {name: sae.to(host.device) for name, sae in dictionaries.items()}
        self._shift = shift.to(host.device)
        self._text = RunningSums(n_documents)
        self._sums = {name: RunningSums(n_documents) for name in dictionaries}
        self._norms: list[Tensor] = []
        self._last = Site("resid_post", host.n_layers - 1)

    def add(self, batch: EvaluationBatch) -> None:
        """Run one batch plainly and with each dictionary."""
        clean = self._host.capture(batch.tokens, {self._site, self._last})
        x = clean[self._site][batch.mask].float()
        reconstructions = {name: _Reconstruction.of(sae, x) for name, sae in self._dictionaries.items()}
        plain, spliced = self._predictions(batch, clean, reconstructions)
        self._add_text(batch, x.double(), plain)
        for name, reconstruction in reconstructions.items():
            self._add_dictionary(self._sums[name], batch, x.double(), reconstruction)
            _add_predictions(self._sums[name], batch, plain, spliced[name])

    def _predictions(
        self,
        batch: EvaluationBatch,
        clean: Mapping[Site, Tensor],
        reconstructions: Mapping[str, "_Reconstruction"],
    ) -> tuple[NextTokenScores, dict[str, NextTokenScores]]:
        streams = {}
        for name, reconstruction in reconstructions.items():
            held = batch.replaced(clean[self._site], reconstruction.x_hat)
            streams[name] = batch.predicted(self._host.last_stream(batch.tokens, self._site, held))
        plain = batch.predicted(clean[self._last])
        return next_token_scores(self._host, plain, streams, batch.next_ids)

    def _add_text(self, batch: EvaluationBatch, x: Float64[Tensor, "tokens d_model"], plain: NextTokenScores) -> None:
        shifted = x - self._shift
        self._text.add_tokens(batch, "n_tokens", torch.ones_like(x[:, 0]))
        self._text.add_tokens(batch, "x_sum", shifted)
        self._text.add_tokens(batch, "x_deviation", shifted.square().sum(1))
        self._text.add_tokens(batch, "x_square", x.square().sum(1))
        self._text.add_tokens(batch, "x_norm", x.norm(dim=1))
        self._text.add_predictions(batch, "n_predictions", torch.ones_like(plain.cross_entropy))
        self._text.add_predictions(batch, "cross_entropy", plain.cross_entropy)
        self._text.add_predictions(batch, "n_right", plain.is_right.double())
        self._text.add_blocks(batch, "block_tokens", torch.ones_like(x[:, 0]))
        self._text.add_blocks(batch, "block_x_sum", shifted)
        self._text.add_blocks(batch, "block_x_deviation", shifted.square())
        self._norms.append(x.norm(dim=1).float().cpu())

    def _add_dictionary(
        self,
        sums: RunningSums,
        batch: EvaluationBatch,
        x: Float64[Tensor, "tokens d_model"],
        reconstruction: "_Reconstruction",
    ) -> None:
        x_hat = reconstruction.x_hat.double()
        error, product = x - x_hat, (x * x_hat).sum(1)
        norms = x.norm(dim=1) * x_hat.norm(dim=1)
        squared_error = error.square().sum(1)
        deviation = (x - self._shift).square().sum(1)
        sums.add_tokens(batch, "squared_error", squared_error)
        sums.add_tokens(batch, "error_share", torch.where(deviation > 0, squared_error / deviation, 0.0))
        sums.add_tokens(batch, "x_hat_square", x_hat.square().sum(1))
        sums.add_tokens(batch, "x_hat_norm", x_hat.norm(dim=1))
        sums.add_tokens(batch, "product", product)
        sums.add_tokens(batch, "cosine", torch.where(norms > 0, product / norms, 0.0))
        sums.add_tokens(batch, "n_active", reconstruction.l0.double())
        sums.add_blocks(batch, "block_error", error)
        sums.add_blocks(batch, "block_squared_error", error.square())
        sums.add_histogram(batch, "block_l0", reconstruction.l0)
        sums.add_features(batch, reconstruction.token_ids, reconstruction.feature_ids, reconstruction.d_sae)

    def table(self, digest: str) -> EvaluationTable:
        """What was summed, on the CPU."""
        norms = torch.cat(self._norms).double()
        quantiles = torch.stack([norms.median(), norms.max()])
        text = TextStatistics(shift=self._shift.cpu(), norm_quantiles=quantiles, **self._text.tensors())
        found = {name: DictionaryStatistics(**sums.tensors()) for name, sums in self._sums.items()}
        return EvaluationTable(CLASSES, digest, text, found)


@dataclass(frozen=True, eq=False)
class _Reconstruction:
    """What a dictionary makes of some tokens."""

    x_hat: Float[Tensor, "tokens d_model"]
    l0: Tensor
    token_ids: Tensor
    feature_ids: Tensor
    d_sae: int

    @classmethod
    def of(cls, sae: SAE, x: Float[Tensor, "tokens d_model"]) -> "_Reconstruction":
        feature_acts = sae.encode_sparse(x)
        x_hat = sae.decode_sparse(feature_acts)
        return cls(x_hat, feature_acts.l0, feature_acts.token_ids(), feature_acts.feature_ids, sae.d_sae)


def _add_predictions(
    sums: RunningSums, batch: EvaluationBatch, plain: NextTokenScores, spliced: NextTokenScores
) -> None:
    sums.add_predictions(batch, "cross_entropy", spliced.cross_entropy)
    sums.add_predictions(batch, "divergence", spliced.divergence)
    sums.add_predictions(batch, "n_right", spliced.is_right.double())
    sums.add_predictions(batch, "n_lost", (plain.is_right & ~spliced.is_right).double())
    sums.add_predictions(batch, "n_gained", (~plain.is_right & spliced.is_right).double())
