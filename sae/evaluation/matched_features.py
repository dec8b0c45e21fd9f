"""Which features two dictionaries share: one to one, by what they read and what they write.

Two dictionaries that differ in nothing but their seed share a part of their features only (Paulo and Belrose 2025,
arXiv 2501.16615), so a share says little by itself: it stands beside that of a second seed on the same data, where
there is one, and beside that of the same dictionary turned at random.
"""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int64
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torch.nn.functional import normalize

from sae.dictionary.autoencoder import SAE
from sae.measurement import Measurement, bootstrap

__all__ = ["SHARED_COSINE", "DictionaryComparison", "MatchedFeatures", "compare_dictionaries", "match_dictionaries"]

SHARED_COSINE = 0.7


@dataclass(frozen=True, eq=False)
class MatchedFeatures:
    """Features of A with their partners in B, as many as the smaller dictionary has.

    Attributes:
        features_a: Feature of A of each pair, ascending.
        features_b: Its partner.
        encoder_cosine: Of the directions that the two read.
        decoder_cosine: Of the directions that they write.
        is_shared: Of each feature of A: whether it has a partner and both cosines are at least 0.7.
    """

    features_a: Int64[Tensor, " pairs"]
    features_b: Int64[Tensor, " pairs"]
    encoder_cosine: Float[Tensor, " pairs"]
    decoder_cosine: Float[Tensor, " pairs"]
    is_shared: Bool[Tensor, " d_sae"]


@dataclass(frozen=True)
class DictionaryComparison:
    """How much of A is in B; intervals are over features of A.

    Attributes:
        d_sae_a: Features of A.
        d_sae_b: Features of B.
        shared: Share of A's features that B has.
        null: The same with B turned by a random rotation: what features of this number share by chance.
        baseline: The same with a second dictionary in B's place, trained as A was with another seed.
        missing: Baseline less shared, in pairs: what is due to the difference between A and B and not to the seed.
        encoder_cosines: Quantiles of the pairs' cosines, 5, 25, 50, 75 and 95 %.
        decoder_cosines: The same of what they write.
    """

    d_sae_a: int
    d_sae_b: int
    shared: Measurement
    null: Measurement
    baseline: Measurement | None
    missing: Measurement | None
    encoder_cosines: dict[int, float]
    decoder_cosines: dict[int, float]

    def to_json(self) -> dict[str, Any]:
        """The fields by name."""
        return {
            name: value.to_json() if isinstance(value, Measurement) else value for name, value in vars(self).items()
        }


def compare_dictionaries(a: SAE, b: SAE, *, baseline: SAE | None = None, seed: int = 0) -> DictionaryComparison:
    """Compare two dictionaries of one site.

    Args:
        a: Whose features are looked for.
        b: Where they are looked for.
        baseline: As A, with another seed.
        seed: Of the rotation and of the resampling.

    Raises:
        ValueError: The dictionaries are of different width or site.
    """
    found = match_dictionaries(a, b)
    turned = match_dictionaries(a, _turned(b, seed))
    second = None if baseline is None else match_dictionaries(a, baseline).is_shared.double()
    shared = found.is_shared.double()
    return DictionaryComparison(
        d_sae_a=a.d_sae,
        d_sae_b=b.d_sae,
        shared=_mean(shared, seed),
        null=_mean(turned.is_shared.double(), seed),
        baseline=None if second is None else _mean(second, seed),
        missing=None if second is None else _mean(second - shared, seed),
        encoder_cosines=_quantiles(found.encoder_cosine),
        decoder_cosines=_quantiles(found.decoder_cosine),
    )


def match_dictionaries(a: SAE, b: SAE) -> MatchedFeatures:
    """The one-to-one pairing with the largest sum of cosines, those of encoder and decoder counting alike.

    Source: the Hungarian method, as `scipy.optimize.linear_sum_assignment`.

    Raises:
        ValueError: The dictionaries are of different width or site.
    """
    if a.d_model != b.d_model:
        raise ValueError(f"the SAEs have d_model {a.d_model} and {b.d_model}, expected equal ones")
    if None not in (a.site, b.site) and a.site != b.site:
        raise ValueError(f"the SAEs belong to {a.site} and {b.site}, expected one site")
    encoder = (normalize(a.encoder_rows) @ normalize(b.encoder_rows).T).cpu()
    decoder = (normalize(a.decoder_rows) @ normalize(b.decoder_rows).T).cpu()
    rows, columns = (torch.from_numpy(ids) for ids in linear_sum_assignment((encoder + decoder).numpy(), maximize=True))
    encoder_cosine, decoder_cosine = encoder[rows, columns], decoder[rows, columns]
    is_shared = torch.zeros(a.d_sae, dtype=torch.bool)
    is_shared[rows] = torch.minimum(encoder_cosine, decoder_cosine) >= SHARED_COSINE
    return MatchedFeatures(rows, columns, encoder_cosine, decoder_cosine, is_shared)


def _turned(sae: SAE, seed: int) -> SAE:
    """Every direction turned by one random rotation: within the dictionary nothing changes."""
    generator = torch.Generator().manual_seed(seed)
    rotation = torch.linalg.qr(torch.randn(sae.d_model, sae.d_model, generator=generator)).Q.to(sae.device)
    return SAE(
        encoder_rows=sae.encoder_rows @ rotation,
        b_enc=sae.b_enc,
        decoder_rows=sae.decoder_rows @ rotation,
        b_dec=sae.b_dec @ rotation,
        threshold=sae.threshold,
        site=sae.site,
    )


def _mean(of_features: Float[Tensor, " d_sae"], seed: int) -> Measurement:
    n = len(of_features)
    return bootstrap(lambda counts: counts @ of_features / n, n, seed=seed)


def _quantiles(cosines: Float[Tensor, " pairs"]) -> dict[int, float]:
    percents = (5, 25, 50, 75, 95)
    found = cosines.double().quantile(torch.tensor(percents, dtype=torch.float64) / 100)
    return dict(zip(percents, found.tolist(), strict=True))
