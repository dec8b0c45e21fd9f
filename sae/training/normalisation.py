"""Between the units of training and those of the host: x = scale * x~ + mean."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import Parameter

from sae.activations.statistics import SiteStatistics
from sae.dictionary.autoencoder import SAE
from sae.host.sites import Site
from sae.kernels.weights import DictionaryWeights, check_has_thresholds

__all__ = ["fold", "normalise", "unfold"]


def normalise(x: Float[Tensor, "tokens d_model"], statistics: SiteStatistics) -> Float[Tensor, "tokens d_model"]:
    """Centred activations of unit variance an element."""
    return (x - statistics.mean.to(x.device)) / statistics.scale


@torch.no_grad()
def fold(weights: DictionaryWeights, statistics: SiteStatistics, *, site: Site) -> SAE:
    """The same function of the host's activations; features are in the host's units, decoder rows stay unit.

    scale * pi = (x - mean) @ W_enc + scale * b_enc, and likewise for threshold and output
    """
    scale, mean = statistics.scale, statistics.mean.to(weights.device)
    return SAE(
        encoder_rows=weights.encoder_rows.detach(),
        b_enc=scale * weights.b_enc - weights.encoder_rows @ mean,
        decoder_rows=weights.decoder_rows.detach(),
        b_dec=scale * weights.b_dec + mean,
        threshold=scale * weights.threshold,
        site=site,
    )


@torch.no_grad()
def unfold(sae: SAE, statistics: SiteStatistics) -> DictionaryWeights:
    """A finished dictionary in units of training: the inverse of `fold`, with decoder rows made unit first.

    Raises:
        ValueError: It is a TopK dictionary.
    """
    check_has_thresholds(sae)
    scale, mean = statistics.scale, statistics.mean.to(sae.device)
    norms = sae.decoder_rows.norm(dim=1)
    # A feature that writes nothing has no norm to divide by.
    norms = torch.where(norms > 0, norms, torch.ones_like(norms))
    encoder_rows = sae.encoder_rows * norms[:, None]
    return DictionaryWeights(
        encoder_rows=Parameter(encoder_rows),
        b_enc=Parameter((sae.b_enc * norms + encoder_rows @ mean) / scale),
        decoder_rows=Parameter(sae.decoder_rows / norms[:, None]),
        b_dec=Parameter((sae.b_dec - mean) / scale),
        threshold=Parameter(sae.threshold * norms / scale),
    )
