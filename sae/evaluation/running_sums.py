"""Sums by document and position class, by block of documents, and by feature, that grow batch after batch."""

import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from sae.evaluation.document_statistics import N_BLOCKS
from sae.evaluation.evaluation_batches import EvaluationBatch
from sae.evaluation.position_classes import CLASSES

__all__ = ["RunningSums"]


class RunningSums:
    """Named sums, each begun when it is first added to.

    Args:
        n_documents: Documents of the whole evaluation.
    """

    def __init__(self, n_documents: int) -> None:
        self._n_documents = n_documents
        self._flat: dict[str, Tensor] = {}
        self._other: dict[str, Tensor] = {}

    def add_tokens(self, batch: EvaluationBatch, name: str, values: Float64[Tensor, "tokens *d_model"]) -> None:
        """Values of evaluated tokens, to their documents and classes."""
        self._add_to_cells(name, batch.token_documents * len(CLASSES) + batch.token_classes, values)

    def add_predictions(self, batch: EvaluationBatch, name: str, values: Float64[Tensor, " predicted"]) -> None:
        """Values of the evaluated tokens that another follows, to their documents and classes."""
        cells = (batch.token_documents * len(CLASSES) + batch.token_classes)[batch.predicting]
        self._add_to_cells(name, cells, values)

    def _add_to_cells(self, name: str, cells: Int64[Tensor, " some"], values: Float64[Tensor, "some *d_model"]) -> None:
        shape = (self._n_documents * len(CLASSES), *values.shape[1:])
        total = self._flat.setdefault(name, values.new_zeros(shape))
        total.index_add_(0, cells.to(values.device), values)

    def add_blocks(self, batch: EvaluationBatch, name: str, values: Float64[Tensor, "tokens *d_model"]) -> None:
        """Values of evaluated tokens, to their blocks of documents."""
        total = self._other.setdefault(name, values.new_zeros(N_BLOCKS, *values.shape[1:]))
        total.index_add_(0, batch.token_documents % N_BLOCKS, values)

    def add_histogram(self, batch: EvaluationBatch, name: str, values: Int64[Tensor, " tokens"]) -> None:
        """How often each whole number occurs, in blocks of documents."""
        n_values = int(values.max()) + 1 if len(values) else 1
        known = self._other.get(name, torch.zeros(N_BLOCKS, 0, dtype=torch.float64, device=values.device))
        missing = max(0, n_values - known.shape[1])
        total = torch.nn.functional.pad(known, (0, missing))
        cells = batch.token_documents % N_BLOCKS * total.shape[1] + values
        total.view(-1).index_add_(0, cells, torch.ones_like(cells, dtype=torch.float64))
        self._other[name] = total

    def add_features(
        self,
        batch: EvaluationBatch,
        token_ids: Int64[Tensor, " active"],
        feature_ids: Int64[Tensor, " active"],
        d_sae: int,
    ) -> None:
        """On how many tokens and in how many documents features are active; a document lies in one batch only."""
        zeros = torch.zeros(d_sae, dtype=torch.long, device=feature_ids.device)
        pairs = (batch.token_documents[token_ids] * d_sae + feature_ids).unique()
        self._other["fire_counts"] = self._other.get("fire_counts", zeros) + feature_ids.bincount(minlength=d_sae)
        in_documents = (pairs % d_sae).bincount(minlength=d_sae)
        self._other["fire_documents"] = self._other.get("fire_documents", zeros) + in_documents

    def tensors(self) -> dict[str, Tensor]:
        """All sums by name, on the CPU; those by document with an axis of classes."""
        shaped = {
            name: total.view(self._n_documents, len(CLASSES), *total.shape[1:]) for name, total in self._flat.items()
        }
        return {name: total.cpu() for name, total in {**shaped, **self._other}.items()}
