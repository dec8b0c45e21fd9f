"""Documents as one vector each: pooled features, and pooled activations for the dense probe."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from sae.activations.row_activations import reading_site, row_activations
from sae.annotated_text import AnnotatedText
from sae.dictionary.autoencoder import SAE
from sae.host.host import HostModel
from sae.host.prompts import prompt_ids
from sae.labelled_documents import check_concepts
from sae.probing.splits import TEST, TRAIN, VALIDATION, splits_of

__all__ = ["MIN_POSITIVES", "PooledDocuments", "Pooling", "pool_documents"]

MIN_POSITIVES = {TRAIN: 12, VALIDATION: 4, TEST: 4}
"""Documents with, and as many without, that a target needs."""
Pooling = Literal["mean", "max"]


@dataclass(frozen=True, eq=False)
class PooledDocuments:
    """Documents with what is asked of them.

    Attributes:
        texts: The texts.
        features: Feature activations, pooled over the tokens of each document.
        activations: Mean activation of each document, for the dense probe.
        splits: `TRAIN`, `VALIDATION` or `TEST`.
        targets: What can be asked of a document.
        truth: Whether it holds.
        left_out: Targets that too few documents have, or lack, and how many have them.
    """

    texts: tuple[str, ...]
    features: Float[Tensor, "documents d_sae"]
    activations: Float[Tensor, "documents d_model"]
    splits: Int64[Tensor, " documents"]
    targets: tuple[str, ...]
    truth: Bool[Tensor, "documents targets"]
    left_out: dict[str, int]


def pool_documents(
    host: HostModel,
    sae: SAE,
    documents: Sequence[AnnotatedText],
    *,
    pooling: Pooling = "mean",
    targets: Sequence[str] | None = None,
) -> PooledDocuments:
    """Run documents through the host and the dictionary and pool over their tokens, BOS left out.

    Args:
        host: The model.
        sae: The dictionary, which must know its site.
        documents: With their classes, or the concepts that they express.
        pooling: `mean` over tokens or `max`.
        targets: What to ask; everything that enough documents have by default.

    Raises:
        ValueError: A target is unknown, or none has enough documents.
    """
    known = sorted({target for document in documents for target in document.targets})
    if targets is not None:
        check_concepts(targets, known, what="--targets")
    told = sorted((document for document in documents if document.text.strip()), key=lambda document: document.text)
    splits = splits_of([document.text for document in told])
    truth = torch.tensor([[target in document.targets for target in targets or known] for document in told])
    kept = _enough(truth, splits)
    if not bool(kept.any()):
        raise ValueError(f"none of {len(kept)} targets has enough documents in every split; give more documents")
    names = [name for name, is_kept in zip(targets or known, kept.tolist(), strict=True) if is_kept]
    texts = tuple(document.text for document in told)
    features, activations = _pooled(host, sae, texts, pooling)
    return PooledDocuments(
        texts=texts,
        features=features,
        activations=activations,
        splits=splits,
        targets=tuple(names),
        truth=truth[:, kept],
        left_out={
            name: int(n)
            for name, n, is_kept in zip(targets or known, truth.sum(0), kept.tolist(), strict=True)
            if not is_kept
        },
    )


def _enough(truth: Bool[Tensor, "documents targets"], splits: Int64[Tensor, " documents"]) -> Bool[Tensor, " targets"]:
    kept = torch.ones(truth.shape[1], dtype=torch.bool)
    for split, least in MIN_POSITIVES.items():
        here = truth[splits == split]
        kept &= (here.sum(0) >= least) & ((~here).sum(0) >= least)
    return kept


def _pooled(
    host: HostModel, sae: SAE, texts: Sequence[str], pooling: Pooling
) -> tuple[Float[Tensor, "documents d_sae"], Float[Tensor, "documents d_model"]]:
    """Pooled features and activations, in the order of the texts."""
    rows = [torch.tensor(prompt_ids(host.tokenizer, text)[: host.context_length]) for text in texts]
    order = sorted(range(len(rows)), key=lambda index: len(rows[index]))
    features = torch.zeros(len(rows), sae.d_sae)
    activations = torch.zeros(len(rows), sae.d_model)
    done = 0
    for x, lengths in row_activations(host, reading_site(sae), [rows[index] for index in order]):
        feature_acts = sae.encode_sparse(x.to(sae.device)).to("cpu").to_dense()
        for own, acts in zip(x.cpu().split(lengths), feature_acts.split(lengths), strict=True):
            index = order[done]
            features[index] = acts.mean(0) if pooling == "mean" else acts.amax(0)
            activations[index] = own.mean(0)
            done += 1
    return features, activations
