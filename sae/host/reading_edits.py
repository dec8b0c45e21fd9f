"""Edits of one site that look at another, earlier site of the same pass: what a transcoder needs."""

from collections.abc import Callable, Mapping

from jaxtyping import Float
from torch import Tensor

from sae.host.passes import Edit
from sae.host.sites import Site

__all__ = ["ReadingEdit", "host_edits"]

ReadingEdit = Callable[
    [Float[Tensor, "batch seq d_model"], Float[Tensor, "batch seq d_model"]], Float[Tensor, "batch seq d_model"]
]
"""From the activation that a run has at the input site, and the one at the edited site, to the one it goes on with."""


def host_edits(edits: Mapping[Site, ReadingEdit], input_sites: Mapping[Site, Site]) -> dict[Site, Edit]:
    """The same edits as ones of single sites, for passes that run one after the other.

    Args:
        edits: By the site that they replace.
        input_sites: What each of them reads: that site itself, or one before it in the forward pass, which it then
            sees after any edit there.
    """
    read_later = {input_sites[site] for site in edits if input_sites[site] != site}
    seen: dict[Site, Tensor] = {}

    def bound(site: Site) -> Edit:
        def edit_and_remember(x: Float[Tensor, "batch seq d_model"]) -> Float[Tensor, "batch seq d_model"]:
            if site in edits:
                x = edits[site](seen[input_sites[site]] if input_sites[site] != site else x, x)
            if site in read_later:
                seen[site] = x
            return x

        return edit_and_remember

    return {site: bound(site) for site in sorted({*edits, *read_later})}
