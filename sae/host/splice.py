"""A host with dictionaries spliced in: x = decode(f) + error at every spliced site.

The features f are those of x itself, or for a transcoder those of what its encoder reads earlier in the pass, where its
skip path, if any, adds to what is decoded.

An edit changes features f and errors at positions that may carry nodes, and the stream gets the difference,

    x' = x + (f' - f) @ W_dec + (error' - error).

What is not edited adds exactly zero and leaves the run as it was bit for bit; `decode(f) + error` would not.
"""

from collections.abc import Callable, Mapping
from itertools import chain, repeat
from types import MappingProxyType
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional

from sae.dictionary.autoencoder import SAE
from sae.dictionary.feature_acts import FeatureActs
from sae.host.host import HostModel
from sae.host.passes import Edit
from sae.host.reading_edits import ReadingEdit, host_edits
from sae.host.sites import Site
from sae.host.token_batch import TokenBatch

__all__ = ["SpliceEdit", "SplicedHost"]

SpliceEdit = Callable[
    [Float[Tensor, "batch seq d_sae"], Float[Tensor, "batch seq d_model"]],
    tuple[Float[Tensor, "batch seq d_sae"], Float[Tensor, "batch seq d_model"]],
]
"""From the feature activations and errors that a run has at a site to those it goes on with, in float32."""

NO_SPLICE_EDITS: Mapping[Site, SpliceEdit] = MappingProxyType({})


class SplicedHost:
    """A host model with an SAE or transcoder at each of some sites.

    Args:
        host: The model.
        saes: The dictionaries by the site that they write, on the host's device.

    Raises:
        ValueError: A site is not the host's, or a dictionary is of another width.
    """

    def __init__(self, host: HostModel, saes: Mapping[Site, SAE]) -> None:
        for site, sae in saes.items():
            if site not in host.sites:
                raise ValueError(f"model {host.name!r} has no site {site}, its last is {host.sites[-1]}")
            if sae.input_site is not None and sae.input_site not in host.all_sites:
                raise ValueError(
                    f"model {host.name!r} has no site {sae.input_site}, which the transcoder at {site} reads"
                )
            if sae.d_model != host.d_model:
                raise ValueError(
                    f"the SAE at {site} has d_model {sae.d_model}, but model {host.name!r} has {host.d_model}"
                    "; use the host that it was trained on"
                )
        self.host = host
        self.saes = {site: saes[site] for site in sorted(saes)}
        self.input_sites = {site: sae.input_site or site for site, sae in self.saes.items()}

    def features(self, batch: TokenBatch) -> dict[Site, FeatureActs]:
        """Feature activations of the unedited model.

        Token `row * seq + position` of each stands for that position; where no node sits it has no features.
        """
        captured = self.host.capture(batch, self.input_sites.values())
        return {
            site: _node_features(self.saes[site], captured[read], batch.node_mask)
            for site, read in self.input_sites.items()
        }

    @torch.no_grad()
    def errors(self, batch: TokenBatch) -> dict[Site, Float[Tensor, "batch seq d_model"]]:
        """What the dictionaries miss of the unedited model, x - decode(encode(x)); 0 where no node sits."""
        captured = self.host.capture(batch, {*self.saes, *self.input_sites.values()})
        return {
            site: _node_errors(self.saes[site], captured[read], captured[site], batch.node_mask)
            for site, read in self.input_sites.items()
        }

    def forward(
        self,
        batch: TokenBatch,
        edits: Mapping[Site, SpliceEdit] = NO_SPLICE_EDITS,
        *,
        logits_to_keep: int = 0,
    ) -> Float[Tensor, "batch kept vocab"]:
        """Logits under edits of features and errors.

        Args:
            batch: What to run.
            edits: By site; features and errors are those of the running, already edited stream.
            logits_to_keep: Return the logits of this many last positions; 0 for all.

        Raises:
            ValueError: A site has no dictionary.
        """
        return self.host.forward(batch, self._host_edits(batch, edits), logits_to_keep=logits_to_keep).logits

    def reconstruct(self, batch: TokenBatch, *, logits_to_keep: int = 0) -> Float[Tensor, "batch kept vocab"]:
        """Logits with every error dropped: the stream is what the dictionaries reconstruct of it."""
        return self.forward(batch, dict.fromkeys(self.saes, _drop_error), logits_to_keep=logits_to_keep)

    def generate(
        self,
        batch: TokenBatch,
        edits: Mapping[Site, SpliceEdit] = NO_SPLICE_EDITS,
        *,
        max_new_tokens: int,
        **sampling: Any,
    ) -> Int[Tensor, "batch seq_out"]:
        """Continue every row under edits, which apply to the prompt and to every new token.

        Args:
            batch: The prompts.
            edits: As in `forward`.
            max_new_tokens: Most tokens to add.
            sampling: `do_sample` and what belongs to it, as in `HostModel.generate`.
        """
        host_edits = self._host_edits(batch, edits)
        return self.host.generate(batch, max_new_tokens=max_new_tokens, edits=host_edits, **sampling)

    def _host_edits(self, batch: TokenBatch, edits: Mapping[Site, SpliceEdit]) -> dict[Site, Edit]:
        if missing := [str(site) for site in edits if site not in self.saes]:
            spliced = ", ".join(str(site) for site in self.saes)
            raise ValueError(f"cannot edit features at {missing[0]}: no SAE there, only at {spliced}")
        of_activations = {site: _reading_edit(self.saes[site], edit, batch.node_mask) for site, edit in edits.items()}
        return host_edits(of_activations, self.input_sites)


def _reading_edit(sae: SAE, edit: SpliceEdit, node_mask: Bool[Tensor, "batch seq"]) -> ReadingEdit:
    """The edit as one of activations, for one pass.

    Its first call is for the batch; in generation those that follow are for one new token a row, a node each.
    """
    masks = chain([node_mask], repeat(torch.ones_like(node_mask[:, :1])))

    def edit_activation(
        read: Float[Tensor, "batch seq d_model"], x: Float[Tensor, "batch seq d_model"]
    ) -> Float[Tensor, "batch seq d_model"]:
        feature_acts = sae.encode(read)
        error = x.float() - sae.reconstruct(feature_acts, read)
        # Copies, so that an edit may work in place.
        edited_acts, edited_error = edit(feature_acts.clone(), error.clone())
        change = (edited_acts - feature_acts) @ sae.W_dec + (edited_error - error)
        return torch.where(next(masks)[..., None], x + change.to(x.dtype), x)

    return edit_activation


def _drop_error(
    feature_acts: Float[Tensor, "batch seq d_sae"], error: Float[Tensor, "batch seq d_model"]
) -> tuple[Float[Tensor, "batch seq d_sae"], Float[Tensor, "batch seq d_model"]]:
    return feature_acts, torch.zeros_like(error)


def _node_features(
    sae: SAE, x: Float[Tensor, "batch seq d_model"], node_mask: Bool[Tensor, "batch seq"]
) -> FeatureActs:
    node_acts = sae.encode_sparse(x[node_mask])
    counts = torch.zeros(node_mask.numel(), dtype=torch.long, device=x.device)
    counts[node_mask.flatten()] = node_acts.l0
    token_offsets = functional.pad(counts.cumsum(0), (1, 0))
    return FeatureActs(node_acts.values, node_acts.feature_ids, token_offsets, sae.d_sae)


def _node_errors(
    sae: SAE,
    read: Float[Tensor, "batch seq d_model"],
    x: Float[Tensor, "batch seq d_model"],
    node_mask: Bool[Tensor, "batch seq"],
) -> Float[Tensor, "batch seq d_model"]:
    error = x.float() - sae.reconstruct(sae.encode(read), read)
    return torch.where(node_mask[..., None], error, 0.0)
