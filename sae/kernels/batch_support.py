"""A batch, its dictionary and its loss, with the support on which they meet: what the parts of a step share."""

from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from sae.kernels.loss import LossSettings
from sae.kernels.sparse_products import feature_sums, token_sums
from sae.kernels.support import Support
from sae.kernels.weights import DictionaryWeights

__all__ = ["BatchSupport"]


@dataclass(frozen=True, eq=False)
class BatchSupport:
    """One step's inputs and what each entry of the support is.

    Attributes:
        weights: The dictionary.
        x: Normalised activations.
        loss: What is minimised.
        dead: Features that the pre-activation loss pulls up.
        support: Holds every active entry and every entry in the window.
    """

    weights: DictionaryWeights
    x: Float[Tensor, "tokens d_model"]
    loss: LossSettings
    dead: Bool[Tensor, " d_sae"] | None
    support: Support

    @cached_property
    def thresholds(self) -> Float[Tensor, " entries"]:
        """Threshold of each entry's feature."""
        return self.weights.threshold.index_select(0, self.support.feature_ids)

    @cached_property
    def active(self) -> Bool[Tensor, " entries"]:
        """Whether each entry exceeds its threshold."""
        return self.support.pre_acts > self.thresholds

    @cached_property
    def window(self) -> Bool[Tensor, " entries"]:
        """Whether each entry lies in the window around its threshold."""
        return (self.support.pre_acts - self.thresholds).abs() < self.loss.bandwidth / 2

    @cached_property
    def feature_acts(self) -> Float[Tensor, " entries"]:
        """Pre-activation of each entry where it is active, 0 elsewhere."""
        return torch.where(self.active, self.support.pre_acts, 0)

    @cached_property
    def fire_counts(self) -> Float[Tensor, " d_sae"]:
        """Number of tokens on which each feature is active."""
        return feature_sums(self.support, self.active.to(self.x.dtype))

    @cached_property
    def window_counts(self) -> Float[Tensor, " d_sae"]:
        """Number of tokens on which each feature lies in the window."""
        return feature_sums(self.support, self.window.to(self.x.dtype))

    @cached_property
    def costs(self) -> Float[Tensor, " entries"] | None:
        """What each entry costs where it is active; None where all cost 1."""
        costs = self.loss.feature_costs
        return None if costs is None else costs.to(self.x).index_select(0, self.support.feature_ids)

    @cached_property
    def penalised_l0(self) -> Float[Tensor, " tokens"]:
        """Number of active features of each token, or what they cost together."""
        return self.l0 if self.costs is None else token_sums(self.support, self.active * self.costs)

    @cached_property
    def l0(self) -> Float[Tensor, " tokens"]:
        """Number of active features of each token."""
        return token_sums(self.support, self.active.to(self.x.dtype))
