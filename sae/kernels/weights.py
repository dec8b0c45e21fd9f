"""The trained tensors of a JumpReLU or BatchTopK dictionary, in the precision that the optimiser keeps."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import Parameter
from torch.nn.functional import normalize

from sae.dictionary.autoencoder import SAE

__all__ = ["DictionaryWeights", "check_has_thresholds"]


@dataclass(frozen=True, eq=False)
class DictionaryWeights:
    """The masters of a dictionary's weights, in units of normalised activations.

    Both matrices lie feature-major: every gather, gradient row and optimiser row is one contiguous line.

    Attributes:
        encoder_rows: Row i is the direction that feature i reads.
        b_enc: Encoder bias.
        decoder_rows: Row i is the direction that feature i writes.
        b_dec: Decoder bias; it is not subtracted from the input.
        threshold: A feature is active where its pre-activation exceeds this; not negative.
    """

    encoder_rows: Float[Parameter, "d_sae d_model"]
    b_enc: Float[Parameter, " d_sae"]
    decoder_rows: Float[Parameter, "d_sae d_model"]
    b_dec: Float[Parameter, " d_model"]
    threshold: Float[Parameter, " d_sae"]

    @classmethod
    def random(
        cls, d_sae: int, d_model: int, *, generator: torch.Generator, threshold: float = 0.0
    ) -> "DictionaryWeights":
        """Random unit decoder rows, the encoder equal to them, zero biases, one threshold for all features."""
        device = generator.device
        rows = normalize(torch.randn(d_sae, d_model, generator=generator, device=device))
        return cls(
            encoder_rows=Parameter(rows.clone()),
            b_enc=Parameter(torch.zeros(d_sae, device=device)),
            decoder_rows=Parameter(rows),
            b_dec=Parameter(torch.zeros(d_model, device=device)),
            threshold=Parameter(torch.full((d_sae,), threshold, device=device)),
        )

    @classmethod
    def from_sae(cls, sae: SAE) -> "DictionaryWeights":
        """Copies of a finished dictionary's tensors, to be trained further.

        Raises:
            ValueError: It is a TopK dictionary.
        """
        check_has_thresholds(sae)
        return cls(
            encoder_rows=_copy(sae.encoder_rows),
            b_enc=_copy(sae.b_enc),
            decoder_rows=_copy(sae.decoder_rows),
            b_dec=_copy(sae.b_dec),
            threshold=_copy(sae.threshold),
        )

    @property
    def d_sae(self) -> int:
        """Number of features."""
        return self.encoder_rows.shape[0]

    @property
    def d_model(self) -> int:
        """Width of the activations."""
        return self.encoder_rows.shape[1]

    @property
    def device(self) -> torch.device:
        """Where the weights lie."""
        return self.encoder_rows.device

    @torch.no_grad()
    def normalise_decoder(self) -> None:
        """Scale every decoder row to unit length, in place."""
        self.decoder_rows.copy_(normalize(self.decoder_rows))


def check_has_thresholds(sae: SAE) -> None:
    """Make sure that a dictionary can be trained further.

    Raises:
        ValueError: It is TopK, whose features are active by their rank among a token's.
    """
    if sae.top_k is not None:
        raise ValueError(
            f"the SAE at {sae.site or sae.path or 'no site'} is TopK (top_k {sae.top_k}), whose features have no "
            f"thresholds to train; begin with a JumpReLU SAE, or train a new one with l0 {sae.top_k}"
        )


def _copy(tensor: Tensor) -> Parameter:
    return Parameter(tensor.detach().clone())
