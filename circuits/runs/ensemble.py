"""What one circuit explains: the runs of one prompt, or of several whose positions are aligned.

Statistics are over units. Of a lone prompt these are the references of its baseline: their spread says how much the
circuit depends on what it is compared with. Of several prompts they are the prompts, each averaged over its references.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from circuits.runs.dictionaries import Dictionary
from circuits.runs.node_set import NodeSet
from circuits.runs.places import Places, token_places
from circuits.runs.runs import Runs
from sae.host.sites import Site

__all__ = ["Ensemble"]


@dataclass(frozen=True, eq=False)
class Ensemble:
    """Runs of aligned prompts.

    Attributes:
        runs: One a prompt; all on the same host with the same dictionaries.
        places: Where their nodes sit.
        groups: Of each prompt, the template that it was made from, where there are templates: prompts of one are not
            independent.
    """

    runs: tuple[Runs, ...]
    places: Places
    groups: tuple[str, ...] | None = None

    @classmethod
    def lone(cls, runs: Runs) -> "Ensemble":
        """One prompt; its tokens are the places."""
        return cls((runs,), token_places([runs.behaviour.tokens]))

    @property
    def is_lone(self) -> bool:
        """Whether there is one prompt only."""
        return len(self.runs) == 1

    @property
    def first(self) -> Runs:
        """The first prompt's runs, for what all have in common."""
        return self.runs[0]

    @property
    def sites(self) -> list[Site]:
        """Sites with a dictionary, in forward order."""
        return self.first.sites

    @property
    def dictionaries(self) -> Mapping[Site, Dictionary]:
        """The dictionaries by site."""
        return self.first.dictionaries

    @property
    def unit_name(self) -> str:
        """What statistics are over."""
        return "references" if self.is_lone else "prompts"

    @property
    def clean_metrics(self) -> Float[Tensor, " units"]:
        """m of the unedited model, one a unit; equal for all units of a lone prompt."""
        if self.is_lone:
            return torch.full((self.first.baseline.n_references,), self.first.clean_metric)
        return torch.tensor([run.clean_metric for run in self.runs])

    @property
    def clean_metric(self) -> float:
        """Mean of `clean_metrics`."""
        return self.clean_metrics.mean().item()

    def of_run(self, index: int, nodes: NodeSet) -> NodeSet:
        """Nodes that are at places, as nodes of one prompt."""
        return nodes if self.is_lone else self.places.at_positions(index, nodes)

    def over_units(self, per_run: list[Float[Tensor, "circuits _"]]) -> Float[Tensor, "circuits units"]:
        """Of metrics of each run under each of its references, those of the units."""
        return per_run[0] if self.is_lone else torch.stack([metrics.mean(dim=1) for metrics in per_run], dim=1)
