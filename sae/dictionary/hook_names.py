"""How SAELens and Hugging Face name the places that this project calls sites."""

import re

from sae.host.sites import FAMILIES, MLP_INPUT, Site, all_sites

__all__ = ["hf_hook_name", "hook_name", "site_from_hook_name"]

TRANSFORMER_LENS = {
    "embed": "hook_embed",
    "attn_out": "blocks.{layer}.hook_attn_out",
    MLP_INPUT: "blocks.{layer}.mlp.hook_in",
    "mlp_out": "blocks.{layer}.hook_mlp_out",
    "resid_post": "blocks.{layer}.hook_resid_post",
}

# Gemma uses names of Llama's for other places: these alone say what a Hugging Face name means.
UNAMBIGUOUS_FAMILIES = ("llama", "gpt_neox")


def hook_name(site: Site) -> str:
    """The TransformerLens name of a site, as sae-lens writes it."""
    return TRANSFORMER_LENS[site.kind].format(layer=site.layer)


def hf_hook_name(site: Site) -> str:
    """The Hugging Face module whose output the site is, in models laid out like Llama."""
    return FAMILIES["llama"].module_path(site)


def site_from_hook_name(name: str) -> Site | None:
    """The site that a hook name means, or None for a place that is no site.

    `blocks.L.hook_resid_pre` is the output of the block before: it reads as `resid_post.(L-1)`, or `embed`.
    """
    layer_in_name = re.search(r"\.(\d+)", name)
    layer = int(layer_in_name[1]) if layer_in_name else 0
    if name == f"blocks.{layer}.hook_resid_pre":
        return Site("resid_post", layer - 1) if layer else Site("embed", None)
    if name == hook_name(Site(MLP_INPUT, layer)):
        return Site(MLP_INPUT, layer)
    for site in all_sites(layer + 1):
        if name == hook_name(site) or any(name == FAMILIES[known].module_path(site) for known in UNAMBIGUOUS_FAMILIES):
            return site
    return None
