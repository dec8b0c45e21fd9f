"""How many bits a token costs when its activation is sent as a dictionary's features, at a fixed distortion.

Ayonrinde, Pearce and Sharkey 2024 (arXiv 2410.11179) bound the length by L0 * (bits of a value + log2 d_sae). Here it
is the length under a code that can be sent:

1. Activations are rounded, feature by feature in steps that move x_hat by one common amount, as coarsely as costs a
   given share of explained variance.
2. Which features are active and how strongly is coded with frequencies of one half of the documents and paid for on the
   other half, in both directions. For one feature and token the chain rule is exact: whether it is active, and only if
   it is, its value. The values' frequencies are of active values alone.
3. The decoder is sent once: its bits are spread over the tokens, whose number therefore stands beside them.
"""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Float64, Int64
from torch import Tensor

from sae.dictionary.autoencoder import SAE
from sae.dictionary.feature_acts import FeatureActs
from sae.evaluation.document_activations import DocumentActivations
from sae.evaluation.entropy_codes import NumberCode
from sae.evaluation.support_codes import SUPPORT_CODES
from sae.measurement import Measurement, bootstrap

__all__ = ["TOLERANCE", "WEIGHT_BITS", "DescriptionLength", "description_length", "rounding_step"]

TOLERANCE = 0.005
WEIGHT_BITS = 16
SEARCH_TOKENS = 8192
SEARCH_STEPS = 20


@dataclass(frozen=True)
class DescriptionLength:
    """Bits a token, with intervals over documents.

    Attributes:
        n_tokens: Tokens that were described.
        step: By how much rounding a feature by one step moves x_hat, in the host's units.
        explained_variance: Of the dictionary as it is.
        explained_variance_rounded: With rounded activations.
        l0: Active features of a token.
        value_bits: For the values of active features.
        support_bits: For which features are active, by code, see `SUPPORT_CODES`.
        bits: Both together, by code.
        dictionary_bits: For the decoder, in 16 bits a weight, spread over `n_tokens`. Not part of `bits`.
    """

    n_tokens: int
    step: float
    explained_variance: float
    explained_variance_rounded: float
    l0: Measurement
    value_bits: Measurement
    support_bits: dict[str, Measurement]
    bits: dict[str, Measurement]
    dictionary_bits: float

    def to_json(self) -> dict[str, Any]:
        """The fields by name."""
        return {name: _json(value) for name, value in vars(self).items()}


def description_length(
    sae: SAE, activations: DocumentActivations, *, tolerance: float = TOLERANCE, seed: int = 0
) -> DescriptionLength:
    """The length of a dictionary's description of some documents.

    Args:
        sae: The dictionary.
        activations: At its site.
        tolerance: Explained variance that rounding may cost, above 0.
        seed: Of the resampling.

    Raises:
        ValueError: There are fewer than two documents, the tolerance is not above 0, or the activations do not vary.
    """
    if activations.n_documents < 2:
        raise ValueError(f"{activations.n_documents} document cannot be split in halves, expected at least 2")
    if not tolerance > 0:
        raise ValueError(f"tolerance is {tolerance}, expected explained variance above 0 that rounding may cost")
    acts = sae.encode_sparse(activations.x)
    step = rounding_step(sae, activations.x[:: max(1, len(activations.x) // SEARCH_TOKENS)], tolerance)
    numbers = _numbers(sae, acts, step)
    token_halves = activations.token_documents % 2
    value_bits = activations.sums(_by_token(acts, _value_bits(acts, numbers, token_halves)))
    support_bits = {
        name: activations.sums(code(acts, token_halves, _follows(activations))) for name, code in SUPPORT_CODES.items()
    }
    n_tokens = activations.token_documents.bincount(minlength=activations.n_documents).double()

    def per_token(of_documents: Tensor, unit: str = "bits") -> Measurement:
        return _ratio(of_documents, n_tokens, seed=seed, unit=unit)

    return DescriptionLength(
        n_tokens=len(activations.x),
        step=step,
        explained_variance=_explained(activations.x, sae.decode_sparse(acts)),
        explained_variance_rounded=_explained(activations.x, sae.decode_sparse(_rounded(sae, acts, numbers, step))),
        l0=per_token(activations.sums(acts.l0.double()), ""),
        value_bits=per_token(value_bits),
        support_bits={name: per_token(bits) for name, bits in support_bits.items()},
        bits={name: per_token(bits + value_bits) for name, bits in support_bits.items()},
        dictionary_bits=(sae.d_sae + 1) * sae.d_model * WEIGHT_BITS / len(activations.x),
    )


def rounding_step(sae: SAE, x: Float[Tensor, "tokens d_model"], tolerance: float) -> float:
    """The coarsest step that costs no more explained variance than the tolerance: bisection in its logarithm.

    Raises:
        ValueError: The activations do not vary.
    """
    acts = sae.encode_sparse(x)
    scatter = float((x.double() - x.double().mean(0)).square().sum())
    if scatter == 0:
        raise ValueError("the activations are all equal, expected some that vary; give more tokens")
    scale = (scatter / len(x)) ** 0.5
    error = (x - sae.decode_sparse(acts)).double().square().sum()

    def cost(step: float) -> float:
        rounded = sae.decode_sparse(_rounded(sae, acts, _numbers(sae, acts, step), step))
        return float((x - rounded).double().square().sum() - error) / scatter

    low, high = scale * 2.0**-20, scale * 4.0
    if cost(high) <= tolerance:
        return high
    for _ in range(SEARCH_STEPS):
        middle = (low * high) ** 0.5
        low, high = (middle, high) if cost(middle) <= tolerance else (low, middle)
    return low


def _steps(sae: SAE, acts: FeatureActs, step: float) -> Float[Tensor, " active"]:
    """The step of each entry's activation; a row of zeros can be rounded as one likes."""
    norms = sae.decoder_rows.norm(dim=1)
    return step / torch.where(norms > 0, norms, 1.0)[acts.feature_ids]


def _numbers(sae: SAE, acts: FeatureActs, step: float) -> Int64[Tensor, " active"]:
    """Which step each activation lies in, from 0 at the smallest that its feature can have."""
    above = acts.values - sae.threshold[acts.feature_ids]
    return (above / _steps(sae, acts, step)).floor().clamp(min=0).long()


def _rounded(sae: SAE, acts: FeatureActs, numbers: Int64[Tensor, " active"], step: float) -> FeatureActs:
    """Activations in the middle of their steps."""
    values = sae.threshold[acts.feature_ids] + (numbers.float() + 0.5) * _steps(sae, acts, step)
    return FeatureActs(values, acts.feature_ids, acts.token_offsets, acts.d_sae)


def _value_bits(
    acts: FeatureActs, numbers: Int64[Tensor, " active"], token_halves: Int64[Tensor, " tokens"]
) -> Float64[Tensor, " active"]:
    """Bits of each entry's number, by the frequencies of the other half."""
    halves = token_halves[acts.token_ids()]
    bits = torch.empty(len(numbers), dtype=torch.float64)
    for half in (0, 1):
        paid, fitted = halves == half, halves != half
        code = NumberCode(acts.feature_ids[fitted], numbers[fitted], acts.d_sae)
        bits[paid] = code.bits(acts.feature_ids[paid], numbers[paid])
    return bits


def _by_token(acts: FeatureActs, of_entries: Float64[Tensor, " active"]) -> Float64[Tensor, " tokens"]:
    return torch.zeros(acts.n_tokens, dtype=torch.float64).index_add_(0, acts.token_ids(), of_entries)


def _follows(activations: DocumentActivations) -> Bool[Tensor, " tokens"]:
    """Whether the token before is of the same document."""
    follows = torch.zeros(len(activations.x), dtype=torch.bool)
    follows[1:] = activations.token_documents[1:] == activations.token_documents[:-1]
    return follows


def _explained(x: Float[Tensor, "tokens d_model"], x_hat: Float[Tensor, "tokens d_model"]) -> float:
    centred = x.double() - x.double().mean(0)
    return float(1 - (x - x_hat).double().square().sum() / centred.square().sum())


def _ratio(
    of_documents: Float64[Tensor, " documents"], n_tokens: Float64[Tensor, " documents"], *, seed: int, unit: str
) -> Measurement:
    return bootstrap(
        lambda counts: (counts @ of_documents) / (counts @ n_tokens),
        len(n_tokens),
        seed=seed,
        unit=unit,
        higher_is_better=None if not unit else False,
    )


def _json(value: Any) -> Any:
    if isinstance(value, Measurement):
        return value.to_json()
    return {name: _json(part) for name, part in value.items()} if isinstance(value, dict) else value
