"""What goes into a pass through the host and what comes out: edits, metrics and results."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from jaxtyping import Float
from torch import Tensor

from sae.host.sites import Site

__all__ = ["NO_EDITS", "CutGraph", "Edit", "ForwardPass", "Halt", "Metric", "SiteGradients"]

Edit = Callable[[Float[Tensor, "batch seq d_model"]], Float[Tensor, "batch seq d_model"]]
"""From the activation that a run has at a site to the one it goes on with."""

Metric = Callable[[Float[Tensor, "batch kept vocab"]], Float[Tensor, " rows"]]
"""From the logits of the kept positions to one value a row; rows must not mix."""

NO_EDITS: Mapping[Site, Edit] = MappingProxyType({})


class Halt(Exception):  # noqa: N818 - control flow: what is wanted has been read
    """Ends a forward pass early."""


@dataclass(frozen=True, eq=False)
class ForwardPass:
    """What one forward pass left behind.

    Attributes:
        logits: Of the kept positions.
        activations: At the captured sites, after any edit there.
    """

    logits: Float[Tensor, "batch kept vocab"]
    activations: dict[Site, Float[Tensor, "batch seq d_model"]]


@dataclass(frozen=True, eq=False)
class SiteGradients:
    """A metric and its gradients, in float32.

    Attributes:
        metric: One value a row.
        activations: At the sites, after any edit there.
        gradients: Of the summed metric with respect to those activations.
    """

    metric: Float[Tensor, " rows"]
    activations: dict[Site, Float[Tensor, "batch seq d_model"]]
    gradients: dict[Site, Float[Tensor, "batch seq d_model"]]


@dataclass(frozen=True, eq=False)
class CutGraph:
    """The model cut open at some sites, in float32, with its autograd graph.

    Attributes:
        inputs: What arrives at each site, cut or only read; depends, through autograd, on its parents' leaves only.
        leaves: What goes on from each cut site: equal values, no history.
    """

    inputs: dict[Site, Float[Tensor, "batch seq d_model"]]
    leaves: dict[Site, Float[Tensor, "batch seq d_model"]]
