"""bfloat16 copies of the weights for the products, beside float32 masters for the optimiser; and when not to."""

from dataclasses import dataclass

import torch
from jaxtyping import BFloat16, Float
from torch import Tensor

from sae.kernels.weights import DictionaryWeights

__all__ = ["BFloat16Shadows", "representable_values"]

BFLOAT16_FRACTION_BITS = 7
FEWEST_VALUES_IN_WINDOW = 16


def representable_values(threshold: Float[Tensor, " d_sae"], bandwidth: float) -> Float[Tensor, " d_sae"]:
    """How many bfloat16 numbers lie in the window around each threshold.

    At theta = 0.1 the spacing is 4.9e-4: a window of 0.001 holds two, and a pre-activation in bfloat16 would be in
    it or not by rounding alone.
    """
    # below half the bandwidth the window reaches zero, and its upper edge has the widest spacing
    exponent = threshold.clamp(min=bandwidth / 2).log2().floor()
    return bandwidth / torch.exp2(exponent - BFLOAT16_FRACTION_BITS)


@dataclass(frozen=True, eq=False)
class BFloat16Shadows:
    """Rounded copies of both matrices.

    Attributes:
        encoder_rows: For the encoder's product.
        decoder_rows: For the gathers.
        rounds_pre_acts: Whether pre-activations may be bfloat16 too.
    """

    encoder_rows: BFloat16[Tensor, "d_sae d_model"]
    decoder_rows: BFloat16[Tensor, "d_sae d_model"]
    rounds_pre_acts: bool

    @classmethod
    @torch.no_grad()
    def of(cls, weights: DictionaryWeights, bandwidth: float | None) -> "BFloat16Shadows":
        """Copies of the weights; pre-activations stay float32 where a tenth of the windows are too coarse.

        They do as well where there is no window (None): features are then told apart by their order alone. The
        thresholds are read from the device here, so make copies anew from time to time and not every step.
        """
        return cls(
            encoder_rows=weights.encoder_rows.bfloat16(),
            decoder_rows=weights.decoder_rows.bfloat16(),
            rounds_pre_acts=bandwidth is not None and _fine_enough(weights.threshold, bandwidth),
        )

    @torch.no_grad()
    def refresh(self, weights: DictionaryWeights) -> None:
        """Copy the masters again, after an optimiser moved them."""
        self.encoder_rows.copy_(weights.encoder_rows)
        self.decoder_rows.copy_(weights.decoder_rows)

    def products(self, x: Float[Tensor, "tokens d_model"]) -> Float[Tensor, "tokens d_sae"]:
        """`x @ encoder_rows.T` in bfloat16, added up in float32; rounded at the end where that is fine enough."""
        rounded = x.bfloat16()
        if self.rounds_pre_acts:
            return rounded @ self.encoder_rows.T
        if x.device.type == "cuda":
            return torch.mm(rounded, self.encoder_rows.T, out_dtype=torch.float32)
        return rounded.float() @ self.encoder_rows.float().T


def _fine_enough(threshold: Tensor, bandwidth: float) -> bool:
    too_coarse = representable_values(threshold, bandwidth) < FEWEST_VALUES_IN_WINDOW
    return bool(too_coarse.float().mean() < 0.1)
