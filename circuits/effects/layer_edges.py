"""Edges within one layer: from the stream that enters it, or from its own sites, to one of its sites.

Everything but attention works on each token alone, so the targets' rows are pulled back on their own tokens only, all
together and at the cost of one token each; attention has a closed form.
"""

from jaxtyping import Bool, Float, Int
from torch import Tensor

from circuits.effects.attention_edges import attention_effects
from circuits.effects.linear_effect import EdgeSource, EdgeTarget, LinearEffect
from circuits.runs.runs import Runs
from sae.host.open_attention import Heads
from sae.host.open_layers import OpenLayer, stream_into
from sae.host.sites import Site

__all__ = ["layer_effects"]


def layer_effects(
    runs: Runs, layer: OpenLayer, stream: Float[Tensor, "seq d_model"], target: EdgeTarget
) -> dict[Site, LinearEffect]:
    """Effects of the nodes of each source site on those of the target.

    Args:
        runs: Clean and baseline runs.
        layer: The target's.
        stream: What enters it in the clean run.
        target: With sources in the layer or in the stream that enters it.
    """
    sums = [site for site, source in target.sources.items() if source.block.is_sum and len(target.rows) == 1]
    found = {site: _within(target, target.rows[target.site], target.sources[site]) for site in sums}
    others = {site: source for site, source in target.sources.items() if site not in found}
    if not others:
        return {site: LinearEffect(effect, None) for site, effect in found.items()}
    position = target.nodes.position
    cuts = [site for site in runs.sites if site.layer == layer.layer and site < target.site]
    clean = {stream_into(layer.layer): stream[position]} | {site: runs.clean[site][0, position] for site in cuts}
    heads = None if Site("attn_out", layer.layer) in cuts else layer.heads(stream)
    mixed = None if heads is None else heads.mixed[:, position]
    pulled, row = layer.pulled_back(target.rows, position, clean, mixed)
    return {site: LinearEffect(effect, None) for site, effect in found.items()} | {
        site: _effect(layer, stream, target, source, pulled[site], heads, row) for site, source in others.items()
    }


def _within(
    target: EdgeTarget, row: Float[Tensor, "targets d_model"], source: EdgeSource
) -> Float[Tensor, "targets sources"]:
    return (row @ source.change.T) * _same_token(target.nodes.position, source.nodes.position)


def _same_token(target: Int[Tensor, " targets"], source: Int[Tensor, " sources"]) -> Bool[Tensor, "targets sources"]:
    return target[:, None] == source[None]


def _effect(
    layer: OpenLayer,
    stream: Float[Tensor, "seq d_model"],
    target: EdgeTarget,
    source: EdgeSource,
    pulled: Float[Tensor, "targets d_model"],
    heads: Heads | None,
    row: Float[Tensor, "heads targets value_width"] | None,
) -> LinearEffect:
    within = _within(target, pulled, source)
    if not source.block.has_attention:
        return LinearEffect(within, None)
    assert heads is not None
    assert row is not None
    at = source.nodes.position
    moved = layer.moved_heads(stream[at], source.change, at)
    by_value, by_pattern = attention_effects(heads, row, target.nodes.position, moved, at)
    return LinearEffect(within + by_value + by_pattern, within + by_value)
