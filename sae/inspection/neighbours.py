"""The features of a dictionary that write in nearly the same direction."""

from dataclasses import dataclass

from torch.nn.functional import normalize

from sae.dictionary.autoencoder import SAE

__all__ = ["Neighbour", "decoder_neighbours"]


@dataclass(frozen=True)
class Neighbour:
    """Another feature, and the cosine between both decoder rows."""

    feature: int
    cosine: float


def decoder_neighbours(sae: SAE, feature: int, *, n: int = 8) -> tuple[Neighbour, ...]:
    """The features whose decoder rows have the largest cosines with that of `feature`, nearest first."""
    cosines = normalize(sae.W_dec) @ normalize(sae.W_dec[feature], dim=0)
    cosines[feature] = -2
    nearest = cosines.topk(min(n, sae.d_sae - 1))
    return tuple(Neighbour(*pair) for pair in zip(nearest.indices.tolist(), nearest.values.tolist(), strict=True))
