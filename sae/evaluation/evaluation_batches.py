"""Documents in batches for an evaluation: which positions are evaluated, and of which document and class each is."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from sae.evaluation.position_classes import EXCLUDED, EvaluationDocument
from sae.host.host import HostModel
from sae.host.token_batch import TokenBatch
from sae.progress import progress

__all__ = ["EvaluationBatch", "evaluation_batches"]

BATCH_TOKENS = 8192


@dataclass(frozen=True, eq=False)
class EvaluationBatch:
    """Some documents, padded on the left.

    Attributes:
        tokens: What the host is fed.
        classes: Of each position; `EXCLUDED` at padding too.
        documents: Index of each row's document among all.
    """

    tokens: TokenBatch
    classes: Int64[Tensor, "batch seq"]
    documents: Int64[Tensor, " batch"]

    @cached_property
    def mask(self) -> Bool[Tensor, "batch seq"]:
        """Positions that are evaluated and spliced."""
        return self.classes != EXCLUDED

    @cached_property
    def predicting(self) -> Bool[Tensor, " tokens"]:
        """Of the evaluated tokens those that another token follows."""
        has_next = torch.zeros_like(self.mask)
        has_next[:, :-1] = self.tokens.attention_mask[:, 1:]
        return has_next[self.mask]

    @cached_property
    def next_ids(self) -> Int64[Tensor, " predicted"]:
        """What follows them."""
        following = self.tokens.ids.roll(-1, dims=1)
        return following[self.mask][self.predicting]

    @cached_property
    def token_documents(self) -> Int64[Tensor, " tokens"]:
        """Document of each evaluated token."""
        return self.documents[:, None].expand_as(self.classes)[self.mask]

    @cached_property
    def token_classes(self) -> Int64[Tensor, " tokens"]:
        """Class of each evaluated token."""
        return self.classes[self.mask]

    def replaced(
        self, activation: Float[Tensor, "batch seq d_model"], x_hat: Float[Tensor, "tokens d_model"]
    ) -> Float[Tensor, "batch seq d_model"]:
        """These vectors at the evaluated positions, the activation at the others."""
        return activation.masked_scatter(self.mask[..., None], x_hat.to(activation))

    def predicted(self, stream: Float[Tensor, "batch seq d_model"]) -> Float[Tensor, "predicted d_model"]:
        """The evaluated tokens that another follows."""
        return stream[self.mask][self.predicting]


def evaluation_batches(
    host: HostModel, documents: Sequence[EvaluationDocument], description: str
) -> Iterator[EvaluationBatch]:
    """The documents from the shortest to the longest, with a bar."""
    for chosen in progress(_groups(documents), description, unit="batch"):
        tokens = host.batch([documents[index].ids for index in chosen])
        classes = torch.full(tokens.ids.shape, EXCLUDED)
        for row, index in enumerate(chosen):
            classes[row, -len(documents[index].ids) :] = documents[index].classes
        yield EvaluationBatch(tokens, classes.to(host.device), torch.tensor(chosen, device=host.device))


def _groups(documents: Sequence[EvaluationDocument]) -> list[list[int]]:
    """Indices of documents of similar length, at most `BATCH_TOKENS` tokens a batch, padding included."""
    groups: list[list[int]] = [[]]
    for index in sorted(range(len(documents)), key=lambda index: len(documents[index].ids)):
        if groups[-1] and (len(groups[-1]) + 1) * len(documents[index].ids) > BATCH_TOKENS:
            groups.append([])
        groups[-1].append(index)
    return groups
