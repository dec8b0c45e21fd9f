"""The activations of documents in memory, for what needs to go over them more than once."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from sae.evaluation.evaluation_batches import evaluation_batches
from sae.evaluation.position_classes import EvaluationDocument
from sae.host.host import HostModel
from sae.host.sites import Site

__all__ = ["DocumentActivations", "document_activations"]


@dataclass(frozen=True, eq=False)
class DocumentActivations:
    """Evaluated tokens, those of a document together and in their order.

    Attributes:
        x: Activations in float32, on the CPU.
        token_documents: The document of each token.
        n_documents: How many there are.
    """

    x: Float[Tensor, "tokens d_model"]
    token_documents: Int64[Tensor, " tokens"]
    n_documents: int

    def sums(self, values: Float[Tensor, "tokens *outputs"]) -> Float[Tensor, "documents *outputs"]:
        """Values of tokens added up in float64 by document."""
        total = torch.zeros(self.n_documents, *values.shape[1:], dtype=torch.float64)
        return total.index_add_(0, self.token_documents, values.double())


def document_activations(host: HostModel, documents: Sequence[EvaluationDocument], site: Site) -> DocumentActivations:
    """Run documents through the host up to a site."""
    parts, token_documents = [], []
    for batch in evaluation_batches(host, documents, "reading activations"):
        parts.append(host.capture(batch.tokens, [site])[site][batch.mask].float().cpu())
        token_documents.append(batch.token_documents.cpu())
    return DocumentActivations(torch.cat(parts), torch.cat(token_documents), len(documents))
