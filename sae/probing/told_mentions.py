"""Mentions of concepts as single vectors: what the host and the dictionary hold at the last token of each."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from sae.activations.row_activations import reading_site, row_activations
from sae.annotated_text import AnnotatedText
from sae.dictionary.autoencoder import SAE
from sae.host.host import HostModel
from sae.localisation.labelled_tokens import LabelledTokens, label_tokens
from sae.probing.splits import splits_of

__all__ = ["ToldMentions", "told_mentions"]


@dataclass(frozen=True, eq=False)
class ToldMentions:
    """Mentions that express exactly one of the concepts in question.

    Attributes:
        concepts: The concept of each mention.
        documents: Its document.
        splits: `TRAIN`, `VALIDATION` or `TEST`, by document.
        activations: At its last token.
        features: Feature activations there.
    """

    concepts: np.ndarray
    documents: Int64[Tensor, " mentions"]
    splits: Int64[Tensor, " mentions"]
    activations: Float[Tensor, "mentions d_model"]
    features: Float[Tensor, "mentions d_sae"]


def told_mentions(
    host: HostModel, sae: SAE, documents: Sequence[AnnotatedText], concepts: Sequence[str]
) -> ToldMentions:
    """Read the host and the dictionary at the mentions of some concepts.

    Args:
        host: The model.
        sae: The dictionary, which must know its site.
        documents: With their spans.
        concepts: What to look for; a mention of several of them is left out.
    """
    told = sorted((each for each in documents if each.text.strip()), key=lambda each: each.text)
    labelled = label_tokens(host, told, concepts=concepts)
    kept = (labelled.mention_concepts.sum(1) == 1).nonzero()[:, 0]
    kept = kept[_last_tokens(labelled)[kept].argsort(stable=True)]
    last = _last_tokens(labelled)[kept]
    activations, features = [], []
    first = 0
    for x, _ in row_activations(host, reading_site(sae), labelled.rows):
        here = last[(last >= first) & (last < first + len(x))] - first
        rows = x[here.to(x.device)]
        activations.append(rows.cpu())
        features.append(sae.encode(rows.to(sae.device)).detach().cpu())
        first += len(x)
    names = np.array(labelled.concepts)[labelled.mention_concepts[kept].int().argmax(1).numpy()]
    document = labelled.mention_documents[kept]
    splits = splits_of([host.tokenizer.decode(row) for row in labelled.rows])[document]
    return ToldMentions(names, document, splits, torch.cat(activations), torch.cat(features))


def _last_tokens(labelled: LabelledTokens) -> Int64[Tensor, " mentions"]:
    last = torch.zeros(len(labelled.mention_documents), dtype=torch.long)
    return last.scatter_reduce_(0, labelled.mention_ids, labelled.mention_tokens, "amax")
