"""What an evaluation keeps of each document: sums, from which every number and its interval follow.

Documents are the independent units. Two dictionaries that were evaluated on the same documents are compared document by
document, so that what both find hard does not widen the interval of their difference.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

from jaxtyping import Float64, Int64
from torch import Tensor

from sae.evaluation.position_classes import EvaluationDocument

__all__ = ["N_BLOCKS", "DictionaryStatistics", "EvaluationTable", "TextStatistics", "digest_of"]

N_BLOCKS = 64
"""Sums for each dimension are kept for so many groups of documents, document i in group i mod 64: for each document
they would be the largest part by far."""


@dataclass(frozen=True, eq=False)
class TextStatistics:
    """Sums over the tokens of documents that every dictionary shares; in float64 and the host's units.

    Attributes:
        shift: What is subtracted from x before it is summed or squared; near the mean, so that little cancels.
        n_tokens: Tokens of each document and class.
        x_sum: Sum of x - shift.
        x_deviation: Sum of |x - shift|^2.
        x_square: Sum of |x|^2.
        x_norm: Sum of |x|.
        n_predictions: Tokens that another one follows.
        cross_entropy: Of what follows, in the plain host, summed, in nats.
        n_right: Tokens after which the plain host finds the next one likeliest.
        block_tokens: Tokens of each block of documents.
        block_x_sum: Sum of x - shift in each block.
        block_x_deviation: Sum of the squares of its coordinates.
        norm_quantiles: Median and largest |x| of a token.
    """

    shift: Float64[Tensor, " d_model"]
    n_tokens: Float64[Tensor, "documents classes"]
    x_sum: Float64[Tensor, "documents classes d_model"]
    x_deviation: Float64[Tensor, "documents classes"]
    x_square: Float64[Tensor, "documents classes"]
    x_norm: Float64[Tensor, "documents classes"]
    n_predictions: Float64[Tensor, "documents classes"]
    cross_entropy: Float64[Tensor, "documents classes"]
    n_right: Float64[Tensor, "documents classes"]
    block_tokens: Float64[Tensor, " blocks"]
    block_x_sum: Float64[Tensor, "blocks d_model"]
    block_x_deviation: Float64[Tensor, "blocks d_model"]
    norm_quantiles: Float64[Tensor, " two"]

    @property
    def n_documents(self) -> int:
        """How many there are."""
        return len(self.n_tokens)


@dataclass(frozen=True, eq=False)
class DictionaryStatistics:
    """Sums over the tokens of documents for one dictionary, of each document and class unless said otherwise.

    Attributes:
        squared_error: Sum of |x - x_hat|^2.
        error_share: Sum of |x - x_hat|^2 / |x - shift|^2, token by token.
        x_hat_square: Sum of |x_hat|^2.
        x_hat_norm: Sum of |x_hat|.
        product: Sum of <x, x_hat>.
        cosine: Sum of the cosine of x and x_hat; 0 where either is 0.
        n_active: Sum of L0.
        cross_entropy: Of what follows, with the dictionary spliced in and its error dropped, summed, in nats.
        divergence: Sum of KL(plain || spliced), in nats.
        n_right: Tokens after which the spliced host finds the next one likeliest.
        n_lost: Of those that the plain host has right, the ones that the spliced host has wrong.
        n_gained: Of those that the plain host has wrong, the ones that the spliced host has right.
        block_error: Sum of x - x_hat in each block of documents.
        block_squared_error: Sum of the squares of its coordinates.
        block_l0: Tokens with each number of active features, in each block.
        fire_counts: Tokens on which each feature is active.
        fire_documents: Documents in which each feature is active.
    """

    squared_error: Float64[Tensor, "documents classes"]
    error_share: Float64[Tensor, "documents classes"]
    x_hat_square: Float64[Tensor, "documents classes"]
    x_hat_norm: Float64[Tensor, "documents classes"]
    product: Float64[Tensor, "documents classes"]
    cosine: Float64[Tensor, "documents classes"]
    n_active: Float64[Tensor, "documents classes"]
    cross_entropy: Float64[Tensor, "documents classes"]
    divergence: Float64[Tensor, "documents classes"]
    n_right: Float64[Tensor, "documents classes"]
    n_lost: Float64[Tensor, "documents classes"]
    n_gained: Float64[Tensor, "documents classes"]
    block_error: Float64[Tensor, "blocks d_model"]
    block_squared_error: Float64[Tensor, "blocks d_model"]
    block_l0: Float64[Tensor, "blocks values"]
    fire_counts: Int64[Tensor, " d_sae"]
    fire_documents: Int64[Tensor, " d_sae"]


@dataclass(frozen=True, eq=False)
class EvaluationTable:
    """Everything that was summed in one pass over documents.

    Attributes:
        classes: Names of the position classes.
        digest: SHA-256 of the documents' token ids and classes: tables of equal digests can be compared in pairs.
        text: What the dictionaries share.
        dictionaries: By name; `zero` and `mean` are the two ablations.
    """

    classes: tuple[str, ...]
    digest: str
    text: TextStatistics
    dictionaries: Mapping[str, DictionaryStatistics]

    def columns(self, part: "TextStatistics | DictionaryStatistics", position_class: str | None) -> dict[str, Tensor]:
        """The sums of one part by name, those over documents of one class, or of all classes together.

        Raises:
            ValueError: There is no such class.
        """
        if position_class is not None and position_class not in self.classes:
            raise ValueError(f"position class {position_class!r} is unknown, expected one of {', '.join(self.classes)}")
        return {field.name: self._column(part, field.name, position_class) for field in fields(part)}

    def _column(self, part: "TextStatistics | DictionaryStatistics", name: str, position_class: str | None) -> Tensor:
        tensor: Tensor = getattr(part, name)
        if name.startswith("block_") or tensor.ndim < 2:
            return tensor
        return tensor.sum(1) if position_class is None else tensor[:, self.classes.index(position_class)]


def digest_of(documents: Sequence[EvaluationDocument]) -> str:
    """SHA-256, in hexadecimal, of documents in their order."""
    digest = hashlib.sha256()
    for document in documents:
        digest.update(document.ids.numpy().tobytes() + document.classes.numpy().tobytes() + b"|")
    return digest.hexdigest()
