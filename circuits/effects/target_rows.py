"""What m says of the nodes of a target site: linearly, and of their true activations.

A feature d is read off what its dictionary encodes, x, and m follows it by <W_dec[d], g> with g = dm/dx at the site.
The error is what is left of the site, x - decode(f(x)), and m follows it by g. A transcoder encodes another site than
it writes; then x and the site's own activation are two tensors, and only the error depends on both.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from circuits.effects.node_table import NodeTable
from circuits.runs.dictionaries import Dictionary, decoder_rows_of, encoder_rows_of, pre_acts_and_acts_of
from circuits.runs.runs import Runs
from sae.host.sites import Site

__all__ = ["feature_weights", "target_rows"]


def target_rows(
    runs: Runs, site: Site, table: NodeTable, gradient: Float[Tensor, "seq d_model"]
) -> dict[Site, Float[Tensor, "nodes d_model"]]:
    """Derivative of m by what arrives at the site, and by what its dictionary encodes, through each node alone.

    Activations follow pre-activations by the slope between clean and baseline, averaged over the references.
    """
    encoded = runs.input_sites[site]
    through_encoder = torch.empty_like(gradient[table.position])
    is_error = table.is_error
    at_features, at_errors = table.position[~is_error], table.position[is_error]
    through_encoder[~is_error] = _feature_rows(runs, site, at_features, table.feature_id[~is_error], gradient)
    through_encoder[is_error] = -_reconstruction_rows(runs, site, at_errors, gradient)
    own = gradient[table.position] * is_error[:, None]
    return {site: through_encoder + own} if encoded == site else {encoded: through_encoder, site: own}


def feature_weights(
    dictionary: Dictionary, table: NodeTable, gradient: Float[Tensor, "seq d_model"]
) -> Float[Tensor, " nodes"]:
    """Derivative of m by each feature's activation; meaningless for errors."""
    return (decoder_rows_of(dictionary, table.feature_id.clamp(min=0)) * gradient[table.position]).sum(dim=-1)


def _feature_rows(
    runs: Runs,
    site: Site,
    position: Int[Tensor, " nodes"],
    feature_id: Int[Tensor, " nodes"],
    gradient: Float[Tensor, "seq d_model"],
) -> Float[Tensor, "nodes d_model"]:
    dictionary, table = runs.dictionaries[site], NodeTable(position, feature_id)
    feature_ids, column = table.columns()
    slope = _slopes(runs, site, position, feature_ids).gather(1, column[:, None])
    return slope * feature_weights(dictionary, table, gradient)[:, None] * encoder_rows_of(dictionary, feature_id)


def _reconstruction_rows(
    runs: Runs, site: Site, position: Int[Tensor, " nodes"], gradient: Float[Tensor, "seq d_model"]
) -> Float[Tensor, "nodes d_model"]:
    """The derivative through all features of a position: what its error does not see. Only active ones count."""
    dictionary = runs.dictionaries[site]
    if len(position) == 0:
        return gradient[position]
    # a feature that is 0 in all runs has slope 0, so the others need not be encoded
    parts = [features.at(position) for features in (runs.clean_features[site], runs.baseline.features[site])]
    active = torch.cat([part.feature_id for part in parts]).unique()
    weight = _slopes(runs, site, position, active) * (gradient[position] @ decoder_rows_of(dictionary, active).T)
    return weight @ encoder_rows_of(dictionary, active)


def _slopes(
    runs: Runs, site: Site, position: Int[Tensor, " nodes"], feature_ids: Int[Tensor, " chosen"]
) -> Float[Tensor, "nodes chosen"]:
    """Slope of the chosen features' nonlinearity between clean and baseline, averaged over the references."""
    encoded = runs.input_sites[site]
    x = torch.cat([runs.clean[encoded][:1, position], runs.baseline.activations[encoded][:, position]])
    pre_acts, acts = pre_acts_and_acts_of(runs.dictionaries[site], x, feature_ids)
    moved = pre_acts[1:] - pre_acts[0]
    secant = (acts[1:] - acts[0]) / torch.where(moved == 0, 1, moved)
    return torch.where(moved == 0, (acts[0] != 0).to(moved), secant).mean(dim=0)
