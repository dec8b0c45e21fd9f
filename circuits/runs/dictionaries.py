"""What circuits need of a dictionary, and the coordinate bases that stand beside SAEs for comparison."""

from collections.abc import Mapping

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sae.dictionary.autoencoder import SAE
from sae.host.sites import Site

__all__ = [
    "BASES",
    "CoordinateBasis",
    "Dictionary",
    "decoder_derivative",
    "decoder_rows_of",
    "encoder_rows_of",
    "input_sites_of",
    "pre_acts_and_acts_of",
]

BASES = ("features", "neurons", "residual")

ENTRIES_PER_CHUNK = 1 << 14


class CoordinateBasis:
    """The coordinates of a site as signed features: no training, no error.

    At an `mlp_neurons` site they are the hidden neurons of the MLP; elsewhere the coordinates of the stream.
    """

    input_site = None

    def __init__(self, site: Site, width: int, device: torch.device | str = "cpu") -> None:
        self.site = site
        self.d_sae = width
        self.b_dec = torch.zeros(width, device=device)

    def pre_acts(self, x: Float[Tensor, "*batch width"]) -> Float[Tensor, "*batch width"]:
        """The coordinates themselves."""
        return x

    def encode(self, x: Float[Tensor, "*batch width"]) -> Float[Tensor, "*batch width"]:
        """The coordinates themselves."""
        return x

    def encode_features(
        self, x: Float[Tensor, "*batch width"], feature_ids: Int[Tensor, " chosen"]
    ) -> Float[Tensor, "*batch chosen"]:
        """The chosen coordinates."""
        return x[..., feature_ids]

    def decode(self, feature_acts: Float[Tensor, "*batch width"]) -> Float[Tensor, "*batch width"]:
        """The coordinates themselves."""
        return feature_acts


Dictionary = SAE | CoordinateBasis
"""An affine decoder with an encoder: `x = decode(f) + error`. A `Transcoder`, which is an SAE, encodes another tensor.

What a transcoder's skip path adds is part of the error here: circuits count features only.
"""


def input_sites_of(dictionaries: Mapping[Site, Dictionary]) -> dict[Site, Site]:
    """For each site with a dictionary the one that is encoded: itself, unless a transcoder stands there."""
    return {site: dictionary.input_site or site for site, dictionary in dictionaries.items()}


def decoder_rows_of(dictionary: Dictionary, feature_ids: Int[Tensor, " chosen"]) -> Float[Tensor, "chosen d_model"]:
    """The directions that the chosen features write."""
    if isinstance(dictionary, CoordinateBasis):
        return torch.nn.functional.one_hot(feature_ids, dictionary.d_sae).to(dictionary.b_dec)
    return dictionary.decoder_rows[feature_ids]


def encoder_rows_of(dictionary: Dictionary, feature_ids: Int[Tensor, " chosen"]) -> Float[Tensor, "chosen d_model"]:
    """The directions that the chosen features read."""
    if isinstance(dictionary, CoordinateBasis):
        return decoder_rows_of(dictionary, feature_ids)
    return dictionary.encoder_rows[feature_ids]


def pre_acts_and_acts_of(
    dictionary: Dictionary, x: Float[Tensor, "*batch d_model"], feature_ids: Int[Tensor, " chosen"]
) -> tuple[Float[Tensor, "*batch chosen"], Float[Tensor, "*batch chosen"]]:
    """Pre-activations and activations of the chosen features only."""
    if isinstance(dictionary, CoordinateBasis):
        return x[..., feature_ids], x[..., feature_ids]
    pre_acts = torch.nn.functional.linear(x, dictionary.encoder_rows[feature_ids], dictionary.b_enc[feature_ids])
    if dictionary.top_k is None:
        is_active = pre_acts > dictionary.threshold[feature_ids]
    else:
        is_active = dictionary.encode_features(x, feature_ids) > 0
    return pre_acts, pre_acts.relu() * is_active


def decoder_derivative(
    dictionary: Dictionary,
    gradient: Float[Tensor, "rows seq d_model"],
    row: Int[Tensor, " entries"],
    position: Int[Tensor, " entries"],
    feature_id: Int[Tensor, " entries"],
) -> Float[Tensor, " entries"]:
    """<W_dec[feature], gradient> of each entry: the derivative by a feature, given the derivative by the stream."""
    if isinstance(dictionary, CoordinateBasis):
        return gradient[row, position, feature_id]
    parts = [gradient.new_zeros(0)]
    for chunk in torch.arange(len(row), device=row.device).split(ENTRIES_PER_CHUNK):
        directions = dictionary.decoder_rows[feature_id[chunk]]
        parts.append((directions * gradient[row[chunk], position[chunk]]).sum(dim=-1))
    return torch.cat(parts)
