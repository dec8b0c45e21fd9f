"""A first look at documents: the mean of their activations, a sample of them, and how often features are active."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from sae.dictionary.autoencoder import SAE
from sae.evaluation.evaluation_batches import evaluation_batches
from sae.evaluation.position_classes import EvaluationDocument
from sae.host.host import HostModel
from sae.host.sites import Site

__all__ = ["Survey", "survey"]

SAMPLE_TOKENS = 16_384


@dataclass(frozen=True, eq=False)
class Survey:
    """What the null dictionaries are made from.

    Attributes:
        mean: Of the evaluated tokens.
        sample: Activations of tokens drawn without replacement, all of them where there are few.
        density: Share of tokens on which each feature of the dictionary is active.
    """

    mean: Float64[Tensor, " d_model"]
    sample: Float[Tensor, "sampled d_model"]
    density: Float64[Tensor, " d_sae"]

    @property
    def l0(self) -> float:
        """Mean number of active features of a token."""
        return float(self.density.sum())


@torch.no_grad()
def survey(host: HostModel, sae: SAE, site: Site, documents: Sequence[EvaluationDocument], *, seed: int = 0) -> Survey:
    """Run documents through the host up to the site.

    Args:
        host: The model.
        sae: The dictionary whose density is wanted.
        site: Where to read.
        documents: What is evaluated later.
        seed: Of the sample.
    """
    generator = torch.Generator().manual_seed(seed)
    n_tokens = sum(document.n_tokens for document in documents)
    # tokens come in batches of any size, so that each is drawn by itself; a little more than wanted, then cut
    share = min(1.0, 1.1 * SAMPLE_TOKENS / n_tokens)
    total = torch.zeros(host.d_model, dtype=torch.float64)
    fire_counts = torch.zeros(sae.d_sae, dtype=torch.float64)
    sampled: list[Tensor] = []
    for batch in evaluation_batches(host, documents, "surveying"):
        x = host.capture(batch.tokens, [site])[site][batch.mask].float()
        total += x.double().sum(0).cpu()
        feature_ids = sae.encode_sparse(x.to(sae.device)).feature_ids
        fire_counts += torch.bincount(feature_ids, minlength=sae.d_sae).cpu()
        sampled.append(x.cpu()[torch.rand(len(x), generator=generator) < share])
    sample = torch.cat(sampled)
    sample = sample[torch.randperm(len(sample), generator=generator)[:SAMPLE_TOKENS]]
    return Survey(total / n_tokens, sample, fire_counts / n_tokens)
