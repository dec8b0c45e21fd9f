"""What a model computes between two neighbouring sites, once every other site is cut."""

from collections.abc import Collection
from dataclasses import dataclass

from sae.host.sites import Family, Site, all_sites, parent_sites

__all__ = ["Block", "block_between"]


@dataclass(frozen=True)
class Block:
    """How a target depends on one of its parents."""

    is_sum: bool
    """The parent is added into the target and reaches it in no other way: the derivative is the identity."""
    has_attention: bool
    """Attention lies between, so a token may reach later ones; otherwise each token reaches only itself."""


def block_between(source: Site, target: Site, sites: Collection[Site], family: Family) -> Block:
    """The block from `source` to `target`, where `source` is among `parent_sites(target, sites, family)`."""
    kinds = {
        site.kind for site in [target, *_between(source, target)] if _is_passed(site, source, target, sites, family)
    }
    return Block(is_sum=kinds <= {"resid_post"}, has_attention="attn_out" in kinds)


def _between(source: Site, target: Site) -> list[Site]:
    """Sites of the stream's width after `source` and before `target`."""
    n_layers = 0 if target.layer is None else target.layer + 1
    return [site for site in all_sites(n_layers) if source < site < target]


def _is_passed(site: Site, source: Site, target: Site, sites: Collection[Site], family: Family) -> bool:
    """Whether a path from `source` to `target` that no site cuts ends in `site` or passes it."""
    if site != target and (site in sites or site not in parent_sites(target, {*sites, site}, family)):
        return False
    return source in parent_sites(site, sites, family)
