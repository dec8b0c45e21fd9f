"""The two runs that a circuit is read off: the clean one and its baseline, at every site that has a dictionary."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from circuits.prompts.behaviour import Behaviour
from circuits.runs.active_features import ActiveFeatures, encode_active
from circuits.runs.baselines import Baseline
from circuits.runs.dictionaries import Dictionary, input_sites_of
from sae.host.sites import Site
from sae.host.token_batch import TokenBatch

if TYPE_CHECKING:
    from sae.host.host import HostModel

__all__ = ["TOKENS_PER_PASS", "Runs", "node_positions"]

TOKENS_PER_PASS = 16384
"""Rows of a batch are split so that one pass of the model sees about this many tokens."""

TOKENS_PER_CPU_PASS = 4096
"""The same on a processor: what its caches hold takes a quarter less time a token."""


def node_positions(host: "HostModel", behaviour: Behaviour) -> Bool[Tensor, " seq"]:
    """Which positions of the prompt may carry nodes: all but BOS."""
    return host.batch([behaviour.prompt_ids]).node_mask[0]


@dataclass(frozen=True)
class Runs:
    """Clean and baseline activations and features of one behaviour."""

    host: "HostModel"
    behaviour: Behaviour
    dictionaries: Mapping[Site, Dictionary]
    baseline: Baseline
    batch: TokenBatch
    """The clean prompt: one row, or one for each answer where answers are scored token by token."""
    clean: Mapping[Site, Float[Tensor, "rows full d_model"]]
    """Clean activations of `batch`, appended answer tokens included, also where transcoders read."""
    clean_metric: float

    @classmethod
    def record(
        cls,
        host: "HostModel",
        behaviour: Behaviour,
        dictionaries: Mapping[Site, Dictionary],
        baseline: Baseline,
    ) -> "Runs":
        """Run the clean prompt and keep its activations."""
        batch = behaviour.batch(host, [behaviour.prompt_ids])
        sites = {*dictionaries, *input_sites_of(dictionaries).values()}
        run = host.forward(batch, capture=sites, logits_to_keep=behaviour.kept_logits)
        clean = {site: x.float() for site, x in run.activations.items()}
        return cls(host, behaviour, dictionaries, baseline, batch, clean, behaviour.metric(run.logits)[0].item())

    @property
    def sites(self) -> list[Site]:
        """Sites with a dictionary, in forward order."""
        return list(self.dictionaries)

    @cached_property
    def input_sites(self) -> dict[Site, Site]:
        """What the dictionary of each site encodes: that site, or for a transcoder one before it."""
        return input_sites_of(self.dictionaries)

    @property
    def n_positions(self) -> int:
        """Tokens of the prompt."""
        return len(self.behaviour.tokens)

    @cached_property
    def at_nodes(self) -> Bool[Tensor, " seq"]:
        """Positions of the prompt that carry nodes."""
        return self.batch.node_mask[0, : self.n_positions]

    @cached_property
    def clean_features(self) -> dict[Site, ActiveFeatures]:
        """Features of the clean prompt, one row."""
        return {
            site: encode_active(self.dictionaries[site], self.clean[read][:1, : self.n_positions], self.at_nodes)
            for site, read in self.input_sites.items()
        }

    def baseline_rows(self, site: Site) -> Float[Tensor, "references full d_model"]:
        """Baseline activations padded to the batch's length; what stands beyond the prompt is never used."""
        x = self.baseline.activations[site]
        tail = self.batch.ids.shape[1] - self.n_positions
        return torch.nn.functional.pad(x, (0, 0, 0, tail)) if tail else x

    def clean_error(self, site: Site) -> Float[Tensor, "seq d_model"]:
        """What the prompt's features leave unexplained of its activation."""
        dictionary, n = self.dictionaries[site], self.n_positions
        return self.clean[site][0, :n] - dictionary.decode(dictionary.encode(self.clean[self.input_sites[site]][0, :n]))

    def baseline_error(self, site: Site, reference: int) -> Float[Tensor, "seq d_model"]:
        """What the baseline's features leave unexplained of its activation."""
        base = self.baseline.features[site]
        own = base.row == reference
        feature_acts = base.value.new_zeros(base.n_positions, base.d_sae)
        feature_acts[base.position[own], base.feature_id[own]] = base.value[own]
        return self.baseline.activations[site][reference] - self.dictionaries[site].decode(feature_acts)

    def rows_per_pass(self, most_tokens: int | None = None) -> int:
        """How many copies of the prompt one pass of the model takes.

        Args:
            most_tokens: A bound of its own for passes that keep much beside the model's activations.
        """
        allowed = TOKENS_PER_PASS if most_tokens is None else min(TOKENS_PER_PASS, most_tokens)
        if self.host.device.type == "cpu":
            allowed = min(allowed, TOKENS_PER_CPU_PASS)
        return max(1, allowed // self.batch.ids.numel())
