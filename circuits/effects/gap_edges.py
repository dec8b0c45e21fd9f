"""Edges across several layers, where only some of them have dictionaries.

One cut forward pass, in which every site is replaced by a leaf, and a vector-Jacobian product for each target; a second
pass with the patterns held gives the part that runs through values. It holds for every gap, and costs the whole prompt
and all that lies between for each target.
"""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from circuits.effects.linear_effect import EdgeTarget, LinearEffect
from circuits.runs.runs import Runs
from sae.host.passes import CutGraph
from sae.host.sites import Site

__all__ = ["gap_effects"]

ROWS_PER_PRODUCT = 64


def gap_effects(runs: Runs, targets: Sequence[EdgeTarget]) -> dict[tuple[Site, Site], LinearEffect]:
    """Effects of the nodes of each source site on those of each target, by (source site, target site)."""
    if not targets:
        return {}
    total, by_value = (_through(runs, targets, frozen_attention=frozen) for frozen in (False, True))
    has_attention = {
        (site, target.site): source.block.has_attention for target in targets for site, source in target.sources.items()
    }
    return {pair: LinearEffect(total[pair], by_value[pair] if mixes else None) for pair, mixes in has_attention.items()}


def _through(
    runs: Runs, targets: Sequence[EdgeTarget], *, frozen_attention: bool
) -> dict[tuple[Site, Site], Float[Tensor, "targets sources"]]:
    batch = runs.host.batch([runs.behaviour.prompt_ids])
    graph = runs.host.cut_graph(
        batch, runs.sites, input_sites=runs.input_sites.values(), frozen_attention=frozen_attention
    )
    found = {}
    for target in targets:
        for site, jacobian in _pulled_back(graph, target).items():
            source = target.sources[site]
            found[site, target.site] = torch.einsum("kud,ud->ku", jacobian[:, source.nodes.position], source.change)
    return found


def _pulled_back(graph: CutGraph, target: EdgeTarget) -> dict[Site, Float[Tensor, "targets seq d_model"]]:
    """Vector-Jacobian products of every target to the sources' leaves, a few at a time."""
    cotangents = _spread(graph, target)
    parts = [
        torch.autograd.grad(
            [graph.inputs[site] for site in cotangents],
            [graph.leaves[site] for site in target.sources],
            [rows[:, None] for rows in some],
            is_grads_batched=True,
            retain_graph=True,
        )
        for some in zip(*(rows.split(ROWS_PER_PRODUCT) for rows in cotangents.values()), strict=True)
    ]
    return {site: torch.cat([part[i][:, 0] for part in parts]) for i, site in enumerate(target.sources)}


def _spread(graph: CutGraph, target: EdgeTarget) -> Mapping[Site, Float[Tensor, "targets seq d_model"]]:
    """The rows of each target at its token, zeros elsewhere."""
    position, spread = target.nodes.position, {}
    for site, row in target.rows.items():
        spread[site] = row.new_zeros(len(position), *graph.inputs[site].shape[1:])
        spread[site][torch.arange(len(position), device=position.device), position] = row
    return spread
