"""How SAELens and Hugging Face name the places that this project calls sites."""

import re

from sae.host.sites import FAMILIES, MLP_INPUT, Site, all_sites

__all__ = ["hf_hook_name", "hook_name", "input_site_from_hook_names", "is_before_norm_weight", "site_from_hook_name"]

TRANSFORMER_LENS = {
    "embed": "hook_embed",
    "attn_out": "blocks.{layer}.hook_attn_out",
    MLP_INPUT: "blocks.{layer}.mlp.hook_in",
    "mlp_out": "blocks.{layer}.hook_mlp_out",
    "resid_post": "blocks.{layer}.hook_resid_post",
}

# Gemma uses names of Llama's for other places: these alone say what a Hugging Face name means.
UNAMBIGUOUS_FAMILIES = ("llama", "gpt_neox")

BEFORE_NORM_WEIGHT = re.compile(r"blocks\.(\d+)\.ln2\.hook_normalized")
BEFORE_NORM = re.compile(r"blocks\.(\d+)\.hook_mlp_in")
BEHIND_NORM = ".pre_feedforward_layernorm.output"


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


def input_site_from_hook_names(name: str, hf_name: str) -> Site | None:
    """The site that a transcoder reads, or reads before the norm's weight, by the TransformerLens and the other name.

    `blocks.L.hook_mlp_in` is the stream before the norm and no site. But sae-lens also writes it for the transcoders of
    Gemma Scope 2, which read what comes out of the norm: their Hugging Face name says so.
    """
    if match := BEFORE_NORM_WEIGHT.fullmatch(name):
        return Site(MLP_INPUT, int(match[1]))
    match = BEFORE_NORM.fullmatch(name)
    if match and hf_name.endswith(f".{match[1]}{BEHIND_NORM}"):
        return Site(MLP_INPUT, int(match[1]))
    return site_from_hook_name(name)


def is_before_norm_weight(name: str) -> bool:
    """Whether a hook lies inside the norm before an MLP: the stream over its scale, not yet times the weight."""
    return BEFORE_NORM_WEIGHT.fullmatch(name) is not None
