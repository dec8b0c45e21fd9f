"""How large a site's activations are on a stated sample of text: what units of strength are measured by."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from sae.activations.documents import DocumentReader, batches_of_similar_length, cut_to
from sae.activations.harvest import harvest_batches
from sae.dictionary.autoencoder import SAE
from sae.dictionary.feature_acts import FeatureActs
from sae.host.host import HostModel
from sae.host.sites import Site
from sae.progress import progress_counter

__all__ = ["ReferenceActivations", "measure_references"]

BATCH_TOKENS = 8192


@dataclass(frozen=True, eq=False)
class ReferenceActivations:
    """What a sample of text says of one site.

    Attributes:
        corpus: SPEC of the text.
        n_tokens: Tokens looked at, BOS not counted.
        median_norm: Median Euclidean norm of an activation.
        covariance: Of the activations.
        max_acts: Largest activation of each feature of the site's dictionary; None where it has none.
        densities: Share of the tokens on which each feature is active; None likewise.
        deviations: Standard deviation of each feature's activation over all tokens; None likewise.
    """

    corpus: str
    n_tokens: int
    median_norm: float
    covariance: Float64[Tensor, "d_model d_model"]
    max_acts: Float[Tensor, " d_sae"] | None = None
    densities: Float64[Tensor, " d_sae"] | None = None
    deviations: Float64[Tensor, " d_sae"] | None = None

    @property
    def source(self) -> str:
        """Where the numbers are from, in words."""
        return f"{self.n_tokens:,} tokens of {self.corpus}"

    def deviation_along(self, direction: Float[Tensor, " d_model"]) -> float:
        """Standard deviation of <x, d / |d|>."""
        unit = direction.double().cpu() / direction.double().norm().cpu()
        return float((unit @ self.covariance @ unit).clamp(min=0).sqrt())


@torch.no_grad()
def measure_references(
    host: HostModel,
    saes: Mapping[Site, SAE | None],
    texts: Iterable[str],
    *,
    corpus: str,
    n_tokens: int,
) -> dict[Site, ReferenceActivations]:
    """Measure several sites in one pass over a corpus.

    Args:
        host: The model.
        saes: The sites, each with its dictionary if it has one.
        texts: Documents, read until there are enough tokens.
        corpus: What they are, for people.
        n_tokens: Tokens to look at; the last document is cut to give exactly this many.

    Raises:
        ValueError: No document has any text.
    """
    reader = DocumentReader(host, texts, context_tokens=host.context_length)
    documents = cut_to(reader.take(n_tokens), n_tokens)
    if not documents:
        raise ValueError(f"corpus {corpus} gave no token to measure strengths by, expected a document with text")
    sums = {site: _Sums(host.d_model, sae) for site, sae in saes.items()}
    read_sites = sorted({*saes, *(each.input_site or site for site, each in sums.items())})
    with progress_counter(sum(document.n_tokens for document in documents), "measuring", unit="token") as bar:
        batches = batches_of_similar_length(documents, max_tokens=BATCH_TOKENS)
        for part in harvest_batches(host, batches, read_sites):
            for site, each in sums.items():
                each.add(part.activations[site], part.activations[each.input_site or site])
            bar.update(part.n_tokens)
    return {site: each.references(corpus) for site, each in sums.items()}


class _Sums:
    """What is kept of a site from batch to batch."""

    def __init__(self, d_model: int, sae: SAE | None) -> None:
        self.sae = sae
        self.input_site = None if sae is None else sae.input_site
        self.total = torch.zeros(d_model, dtype=torch.float64)
        self.products = torch.zeros(d_model, d_model, dtype=torch.float64)
        self.norms: list[Tensor] = []
        self.features = None if sae is None else _FeatureSums(sae.d_sae)

    def add(self, x: Float[Tensor, "tokens d_model"], read: Float[Tensor, "tokens d_model"]) -> None:
        """Take in some tokens: their activations at the site, and what its dictionary reads."""
        exact = x.cpu().double()
        self.total += exact.sum(0)
        self.products += exact.T @ exact
        self.norms.append(exact.norm(dim=-1).float())
        if self.sae is not None and self.features is not None:
            self.features.add(self.sae.encode_sparse(read.float()).to("cpu"))

    def references(self, corpus: str) -> ReferenceActivations:
        norms = torch.cat(self.norms)
        mean = self.total / len(norms)
        covariance = self.products / len(norms) - torch.outer(mean, mean)
        of_features = {} if self.features is None else self.features.statistics(len(norms))
        return ReferenceActivations(corpus, len(norms), float(norms.median()), covariance, **of_features)


class _FeatureSums:
    """What is kept of a dictionary's features."""

    def __init__(self, d_sae: int) -> None:
        self.max_acts = torch.zeros(d_sae)
        self.counts, self.totals, self.squares = torch.zeros(3, d_sae, dtype=torch.float64)

    def add(self, acts: FeatureActs) -> None:
        """Take in some tokens."""
        features, values = acts.feature_ids.long(), acts.values.double()
        self.max_acts.scatter_reduce_(0, features, acts.values.float(), "amax")
        self.counts.index_add_(0, features, torch.ones_like(values))
        self.totals.index_add_(0, features, values)
        self.squares.index_add_(0, features, values.square())

    def statistics(self, n_tokens: int) -> dict[str, Tensor]:
        """As in `ReferenceActivations`, from that many tokens."""
        variances = self.squares / n_tokens - (self.totals / n_tokens).square()
        deviations = variances.clamp(min=0.0).sqrt()
        return {"max_acts": self.max_acts, "densities": self.counts / n_tokens, "deviations": deviations}
