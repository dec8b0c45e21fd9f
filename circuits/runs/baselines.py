"""What a node is set to when it is taken out of the model.

- `contrast`: what the contrast prompt has at the same position;
- `resample`: what each of several reference prompts has there, aligned at the end; effects are averaged over them;
- `mean`: the mean over the positions of the reference prompts;
- `zero`: no feature active and no error, so the stream is the decoder's bias.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from circuits.runs.active_features import ActiveFeatures, encode_active
from circuits.runs.dictionaries import Dictionary, input_sites_of
from sae.host.sites import Site
from sae.host.token_batch import TokenBatch

if TYPE_CHECKING:
    from sae.host.host import HostModel

__all__ = [
    "BASELINES",
    "Baseline",
    "contrast_baseline",
    "mean_baseline",
    "resample_baseline",
    "zero_baseline",
]

BASELINES = ("contrast", "resample", "mean", "zero")


@dataclass(frozen=True)
class Baseline:
    """Activations and features that nodes are set to, at every site, for one or several references."""

    kind: str
    activations: Mapping[Site, Float[Tensor, "references seq d_model"]]
    """decode(features) + error of the baseline, and what transcoders read; only node positions are ever used."""
    features: Mapping[Site, ActiveFeatures]
    """One row per reference."""

    @property
    def n_references(self) -> int:
        """How many baselines the effects are averaged over."""
        return next(iter(self.activations.values())).shape[0]


def contrast_baseline(
    host: "HostModel",
    dictionaries: Mapping[Site, Dictionary],
    contrast_ids: Int[Tensor, " seq"],
    node_positions: Bool[Tensor, " seq"],
) -> Baseline:
    """The activations of the contrast prompt, position by position."""
    activations = _captured(host, host.batch([contrast_ids]), dictionaries)
    return _encoded("contrast", dictionaries, activations, node_positions)


def resample_baseline(
    host: "HostModel",
    dictionaries: Mapping[Site, Dictionary],
    references: Sequence[Int[Tensor, " _"]],
    node_positions: Bool[Tensor, " seq"],
) -> Baseline:
    """The activations of each reference prompt, aligned with the prompt at their ends.

    Positions that a shorter reference does not reach take the references' mean at that site.
    """
    batch = host.batch(references)
    captured = _captured(host, batch, dictionaries)
    length = len(node_positions)
    aligned = {site: _align_at_end(x, batch.node_mask, length) for site, x in captured.items()}
    return _encoded("resample", dictionaries, aligned, node_positions)


def mean_baseline(
    host: "HostModel",
    dictionaries: Mapping[Site, Dictionary],
    references: Sequence[Int[Tensor, " _"]],
    node_positions: Bool[Tensor, " seq"],
) -> Baseline:
    """The mean features and the mean error over all node positions of the references."""
    batch = host.batch(references)
    captured = _captured(host, batch, dictionaries)
    at_nodes = {site: x[batch.node_mask] for site, x in captured.items()}
    activations = {site: x.mean(dim=0).expand(1, len(node_positions), -1) for site, x in at_nodes.items()}
    features = {}
    for site, read in input_sites_of(dictionaries).items():
        chunks = at_nodes[read].split(512)
        summed = torch.stack([dictionaries[site].encode(chunk).sum(dim=0) for chunk in chunks])
        features[site] = _same_everywhere(summed.sum(dim=0) / len(at_nodes[read]), node_positions)
    return Baseline("mean", activations, features)


def zero_baseline(dictionaries: Mapping[Site, Dictionary], node_positions: Bool[Tensor, " seq"]) -> Baseline:
    """Every feature off and no error: the stream is `b_dec`, and transcoders read zeros."""
    activations, features = {}, {}
    for site, dictionary in dictionaries.items():
        if dictionary.input_site is not None:
            activations[dictionary.input_site] = torch.zeros_like(dictionary.b_dec).expand(1, len(node_positions), -1)
        activations[site] = dictionary.b_dec.expand(1, len(node_positions), -1)
        features[site] = _same_everywhere(dictionary.b_dec.new_zeros(dictionary.d_sae), node_positions)
    return Baseline("zero", activations, features)


def _captured(
    host: "HostModel", batch: TokenBatch, dictionaries: Mapping[Site, Dictionary]
) -> dict[Site, Float[Tensor, "rows padded d_model"]]:
    sites = {*dictionaries, *input_sites_of(dictionaries).values()}
    return {site: x.float() for site, x in host.capture(batch, sites).items()}


def _encoded(
    kind: str,
    dictionaries: Mapping[Site, Dictionary],
    activations: Mapping[Site, Float[Tensor, "references seq d_model"]],
    node_positions: Bool[Tensor, " seq"],
) -> Baseline:
    features = {
        site: encode_active(dictionaries[site], activations[read], node_positions)
        for site, read in input_sites_of(dictionaries).items()
    }
    return Baseline(kind, dict(activations), features)


def _align_at_end(
    x: Float[Tensor, "references padded d_model"], node_mask: Bool[Tensor, "references padded"], length: int
) -> Float[Tensor, "references length d_model"]:
    mean = x[node_mask].mean(dim=0)
    aligned = mean.expand(x.shape[0], length, -1).clone()
    overlap = min(length, x.shape[1])
    tail, is_node = x[:, -overlap:], node_mask[:, -overlap:]
    aligned[:, -overlap:] = torch.where(is_node[..., None], tail, mean)
    return aligned


def _same_everywhere(feature_acts: Float[Tensor, " d_sae"], node_positions: Bool[Tensor, " seq"]) -> ActiveFeatures:
    positions = node_positions.nonzero()[:, 0]
    active = feature_acts.nonzero()[:, 0]
    position = positions.repeat_interleave(len(active))
    feature_id = active.repeat(len(positions))
    return ActiveFeatures(
        torch.zeros_like(position),
        position,
        feature_id,
        feature_acts[feature_id],
        1,
        len(node_positions),
        len(feature_acts),
    )
