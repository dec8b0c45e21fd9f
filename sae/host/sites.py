"""Where in a model activations can be read and replaced, and which places feed which.

A site names a tensor [batch seq d_model]: `embed` is the token embedding, `attn_out.3` and `mlp_out.3` are
what layer 3 adds to the residual stream, `resid_post.3` is the stream after layer 3. Two more lie inside an MLP:
`mlp_in.3` is what it reads, after the norm, where transcoders read; `mlp_neurons.3` [batch seq d_mlp] is what its last
projection reads, which stands beside the others for comparison.
"""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import total_ordering
from typing import Any

__all__ = [
    "FAMILIES",
    "MLP_INPUT",
    "NEURONS",
    "READ_KINDS",
    "Family",
    "Site",
    "all_sites",
    "configured_family",
    "family_of",
    "inner_sites",
    "match_sites",
    "parent_sites",
]

MLP_INPUT = "mlp_in"
NEURONS = "mlp_neurons"
READ_KINDS = (MLP_INPUT, NEURONS)
"""Sites that are what a module reads; all others are what a module puts out."""
LAYER_KINDS = ("attn_out", MLP_INPUT, NEURONS, "mlp_out", "resid_post")
KINDS = ("embed", *LAYER_KINDS)
SITE_PATTERN = re.compile(r"(?P<kind>[a-z_]+)(?:\.(?P<layer>\d+))?")
MOST_NAMES_IN_A_MESSAGE = 12


@total_ordering
@dataclass(frozen=True)
class Site:
    """One place in a model; sites sort by forward depth.

    Attributes:
        kind: `embed`, `attn_out`, `mlp_in`, `mlp_neurons`, `mlp_out` or `resid_post`.
        layer: Decoder layer, counted from 0; None for `embed`.
    """

    kind: str
    layer: int | None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"unknown site kind {self.kind!r}, expected one of {', '.join(KINDS)}")
        if self.kind == "embed" and self.layer is not None:
            raise ValueError(f"site 'embed' has no layer, got layer {self.layer}; write just 'embed'")
        if self.kind != "embed" and (self.layer is None or self.layer < 0):
            raise ValueError(f"site {self.kind!r} needs a layer from 0, got {self.layer}; write '{self.kind}.0'")

    @classmethod
    def parse(cls, text: str) -> "Site":
        """The site written as `text`, the inverse of `str`.

        Raises:
            ValueError: `text` is not a site, such as `resid_pre.3` or `mlp_out`.
        """
        match = SITE_PATTERN.fullmatch(text)
        if match is None:
            raise ValueError(f"cannot read site {text!r}, expected 'embed' or one such as 'resid_post.3'")
        layer = match["layer"]
        return cls(match["kind"], None if layer is None else int(layer))

    @property
    def depth(self) -> int:
        """Rank in the forward pass: embed, then attention, MLP and stream of each layer."""
        if self.layer is None:
            return 0
        return 1 + len(LAYER_KINDS) * self.layer + LAYER_KINDS.index(self.kind)

    def __lt__(self, other: "Site") -> bool:
        return self.depth < other.depth

    def __str__(self) -> str:
        return self.kind if self.layer is None else f"{self.kind}.{self.layer}"


@dataclass(frozen=True)
class Family:
    """Where a model family keeps its sites; paths are module paths.

    Attributes:
        decoder: The stack below the unembedding, from the model.
        embed: The embedding, from the model.
        layers: The list of decoder layers, from the model.
        attention: The module whose output attention adds to the stream, from a layer.
        mlp: The module whose output the MLP adds to the stream, from a layer.
        mlp_entry: The module whose input is what the MLP reads after the norm, from a layer.
        mlp_norm: The norm before the MLP, from a layer.
        mlp_projection: The module that turns the MLP's neurons into its output, from a layer.
        stored_norm_offset: What is added to the weights of norms as they are stored; 1 for Gemma's.
        parallel_attention: Attention and MLP of a layer read the same stream: the MLP does not see attention.
        attn_implementation: What transformers is asked for; `eager` where scores are capped, which no faster form does.
    """

    decoder: str
    embed: str
    layers: str
    attention: str
    mlp: str
    mlp_entry: str
    mlp_norm: str
    mlp_projection: str
    stored_norm_offset: float = 0.0
    parallel_attention: bool = False
    attn_implementation: str = "sdpa"

    def module_path(self, site: Site) -> str:
        """Path from the model to the module whose output is the site; for `READ_KINDS`, whose input it is."""
        if site.layer is None:
            return self.embed
        layer = f"{self.layers}.{site.layer}"
        modules = {
            "attn_out": f".{self.attention}",
            MLP_INPUT: f".{self.mlp_entry}",
            NEURONS: f".{self.mlp_projection}",
            "mlp_out": f".{self.mlp}",
            "resid_post": "",
        }
        return layer + modules[site.kind]


_LLAMA = Family(
    decoder="model",
    embed="model.embed_tokens",
    layers="model.layers",
    attention="self_attn",
    mlp="mlp",
    mlp_entry="mlp",
    mlp_norm="post_attention_layernorm",
    mlp_projection="mlp.down_proj",
)
# Gemma norms what attention and MLP give before it adds them to the stream.
_GEMMA = replace(
    _LLAMA,
    attention="post_attention_layernorm",
    mlp="post_feedforward_layernorm",
    mlp_norm="pre_feedforward_layernorm",
    stored_norm_offset=1.0,
)

# Keyed by the configuration's `model_type`: module names repeat across families with other meanings.
FAMILIES: dict[str, Family] = {
    "llama": _LLAMA,
    "qwen2": _LLAMA,
    "qwen3": _LLAMA,
    "gemma2": replace(_GEMMA, attn_implementation="eager"),
    "gemma3_text": _GEMMA,
    # the text half of the model that also sees images
    "gemma3": replace(
        _GEMMA,
        decoder="model.language_model",
        embed="model.language_model.embed_tokens",
        layers="model.language_model.layers",
    ),
    "gpt_neox": Family(
        decoder="gpt_neox",
        embed="gpt_neox.embed_in",
        layers="gpt_neox.layers",
        attention="attention",
        mlp="mlp",
        mlp_entry="mlp",
        mlp_norm="post_attention_layernorm",
        mlp_projection="mlp.dense_4h_to_h",
        parallel_attention=True,
    ),
}


def family_of(model_type: str) -> Family:
    """The module paths of a model family.

    Raises:
        ValueError: The family is not supported.
    """
    if model_type not in FAMILIES:
        raise ValueError(f"model family {model_type!r} is not supported, only: {', '.join(FAMILIES)}")
    return FAMILIES[model_type]


def configured_family(config: Any) -> Family:
    """The family of a transformers configuration; whether a GPT-NeoX is parallel is the configuration's to say.

    Raises:
        ValueError: The family is not supported.
    """
    family = family_of(config.model_type)
    parallel = getattr(config, "use_parallel_residual", family.parallel_attention)
    return replace(family, parallel_attention=parallel)


def all_sites(n_layers: int) -> tuple[Site, ...]:
    """The stream and what is added to it in a model with `n_layers` decoder layers, in forward order."""
    in_layers = (Site(kind, layer) for layer in range(n_layers) for kind in LAYER_KINDS if kind not in READ_KINDS)
    return (Site("embed", None), *in_layers)


def inner_sites(n_layers: int) -> tuple[Site, ...]:
    """What each layer's MLP reads, and its neurons."""
    return tuple(Site(kind, layer) for layer in range(n_layers) for kind in READ_KINDS)


def match_sites(patterns: str, available: Sequence[Site]) -> list[Site]:
    """The sites that a comma-separated list of names and globs selects.

    Args:
        patterns: For example `'resid_post.*,mlp_out.2'`.
        available: The sites to choose from.

    Returns:
        The selected sites in forward order, each once.

    Raises:
        ValueError: A pattern matches none of `available`, or there is no pattern.
    """
    chosen: set[Site] = set()
    for pattern in (part.strip() for part in patterns.split(",")):
        matches = {site for site in available if fnmatchcase(str(site), pattern)}
        if not matches:
            raise ValueError(f"no site matches {pattern!r}, expected names or globs of {_listed(available)}")
        chosen |= matches
    return sorted(chosen)


def parent_sites(site: Site, sites: Collection[Site], family: Family) -> list[Site]:
    """The sites among `sites` with a path to `site` that no other of them cuts, in forward order.

    These are the only sites that `site` depends on once the activations at all of `sites` are held fixed.
    """
    found: set[Site] = set()
    visited: set[Site] = set()
    pending = _feeding(site, family)
    while pending:
        source = pending.pop()
        if source in visited:
            continue
        visited.add(source)
        if source in sites:
            found.add(source)
        else:
            pending += _feeding(source, family)
    return sorted(found)


def _feeding(site: Site, family: Family) -> list[Site]:
    """The sites that `site` is computed from directly."""
    if site.layer is None:
        return []
    layer = site.layer
    stream = Site("resid_post", layer - 1) if layer > 0 else Site("embed", None)
    attention = Site("attn_out", layer)
    if site.kind == "attn_out":
        return [stream]
    if site.kind == MLP_INPUT:
        return [stream] if family.parallel_attention else [stream, attention]
    if site.kind == NEURONS:
        return [Site(MLP_INPUT, layer)]
    if site.kind == "mlp_out":
        return [Site(NEURONS, layer)]
    return [stream, attention, Site("mlp_out", layer)]


def _listed(sites: Sequence[Site]) -> str:
    names = [str(site) for site in sites]
    if len(names) > MOST_NAMES_IN_A_MESSAGE:
        names = [*names[: MOST_NAMES_IN_A_MESSAGE - 1], "...", names[-1]]
    return ", ".join(names) or "no sites at all"
