"""Which tokens are left out of a store: those with a norm far from the usual, such as attention sinks."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from sae.activations.harvest import Harvest
from sae.host.sites import Site

__all__ = ["OutlierRule"]


@dataclass(frozen=True)
class OutlierRule:
    """A token is an outlier if at any site its norm is above `multiple` times that site's median norm.

    It is then left out at every site, so that row i is the same token everywhere.

    Attributes:
        multiple: Above 1, finite; a large one keeps every token.
        median_norms: By site, over the tokens that the rule was made from.
    """

    multiple: float
    median_norms: Mapping[Site, float]

    @classmethod
    def from_tokens(cls, multiple: float, parts: Iterable[Harvest]) -> "OutlierRule":
        """The rule whose medians are those of some harvested tokens, outliers included.

        Raises:
            ValueError: An activation is not finite.
        """
        norms: dict[Site, list[Tensor]] = {}
        for part in parts:
            for site, rows in part.activations.items():
                norms.setdefault(site, []).append(_norms(rows, site).cpu())
        return cls(multiple, {site: float(torch.cat(of_site).median()) for site, of_site in norms.items()})

    def keeps(self, activations: Mapping[Site, Float[Tensor, "tokens d_model"]]) -> Bool[Tensor, " tokens"]:
        """Which of some tokens are no outliers.

        Raises:
            ValueError: An activation is not finite.
        """
        kept = [_norms(rows, site) <= self.multiple * self.median_norms[site] for site, rows in activations.items()]
        return torch.stack(kept).all(0)


def _norms(rows: Float[Tensor, "tokens d_model"], site: Site) -> Float[Tensor, " tokens"]:
    norms = rows.float().norm(dim=-1)
    if not bool(norms.isfinite().all()):
        raise ValueError(f"the host gives NaN or infinite activations at {site}; try another --dtype, or another host")
    return norms
