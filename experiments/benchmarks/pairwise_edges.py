"""Edges as published code finds them: one pass of the whole model for each pair of sites, one backward for each target.

The slow, obvious form of `circuits/effects/edge_effects.py`, with the passes that the authors' code makes:

- for each pair of sites one forward pass of the whole model, unembedding included, with both dictionaries dense in the
  graph and gradients stopped at every other site, so that only the direct paths are left;
- for each target node, one backward pass to all features and the error of the source site at once, dense as well;
- no pass for each pair of nodes: a row of effects is read off one backward pass.

Source: Marks et al. 2024 (arXiv 2403.19647), appendix A.1. Differs from it: a feature follows its pre-activation by the
slope between clean and baseline, as in the fast form, and a backward pass ends at the source, where the authors' code
lets it run on to the embedding and to the weights. So what it takes here is a lower bound for theirs. Only sites with a
direct path between them are paired.
"""

from collections.abc import Callable, Collection
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from circuits.effects.node_effects import NodeEffects
from circuits.effects.node_table import ERROR, NodeTable
from circuits.runs.runs import Runs
from sae.dictionary.autoencoder import SAE
from sae.host.sites import Site

__all__ = ["pairwise_effects"]


def pairwise_effects(
    model: nn.Module,
    runs: Runs,
    effects: NodeEffects,
    nodes: dict[Site, NodeTable],
    source: Site,
    target: Site,
    stops: Collection[Site] | None = None,
) -> Float[Tensor, "targets sources"]:
    """Effects of the nodes of one site on those of another.

    Args:
        model: What `runs.host` hosts.
        runs: Clean and baseline runs; every dictionary is an SAE.
        effects: Of their nodes.
        nodes: Ends of the edges.
        source: The upstream site.
        target: The downstream site.
        stops: Where gradients stop; by default at every other site that has a dictionary.
    """
    stops = [site for site in runs.sites if site not in (source, target)] if stops is None else stops
    changes = _changes(runs, source)
    features, error = (torch.zeros_like(change).requires_grad_(True) for change in changes)
    arrived = _pass(model, runs, source, target, stops, _sae(runs, source).W_dec, features, error)
    table, rows = nodes[source], []
    at, is_error = table.position, table.feature_id == ERROR
    values = _target_values(runs, target, nodes[target], effects[target].gradient, arrived)
    for value in values:
        by_features, by_error = torch.autograd.grad(value, [features, error], retain_graph=True)
        of_features = (by_features * changes[0])[at, table.feature_id.clamp(min=0)]
        rows.append(torch.where(is_error, (by_error * changes[1]).sum(dim=-1)[at], of_features))
    return torch.stack(rows)


def _sae(runs: Runs, site: Site) -> SAE:
    sae = runs.dictionaries[site]
    assert isinstance(sae, SAE)
    return sae


def _changes(runs: Runs, site: Site) -> tuple[Float[Tensor, "seq d_sae"], Float[Tensor, "seq d_model"]]:
    """How far features and error move to the baseline, averaged over the references."""
    sae, base = _sae(runs, site), runs.baseline.activations[site]
    clean = runs.clean[site][0, : runs.n_positions]
    moved = (sae.encode(base) - sae.encode(clean)).mean(dim=0)
    return moved, (base - clean).mean(dim=0) - moved @ sae.W_dec


@torch.enable_grad()
def _pass(
    model: nn.Module,
    runs: Runs,
    source: Site,
    target: Site,
    stops: Collection[Site],
    decoder_rows: Float[Tensor, "d_sae d_model"],
    features: Float[Tensor, "seq d_sae"],
    error: Float[Tensor, "seq d_model"],
) -> Float[Tensor, "seq d_model"]:
    """What arrives at the target, as a function of changes of the source's features and error, which are 0."""
    found: list[Tensor] = []

    def at_source(x: Tensor) -> Tensor:
        return x.detach() + features @ decoder_rows + error

    def at_target(x: Tensor) -> Tensor:
        found.append(x[0])
        return x

    visits: dict[Site, Callable[[Tensor], Tensor]] = dict.fromkeys(stops, Tensor.detach)
    visits |= {source: at_source, target: at_target}
    hooks = [
        model.get_submodule(runs.host.family.module_path(site)).register_forward_hook(_hook(visit))
        for site, visit in visits.items()
    ]
    batch = runs.host.batch([runs.behaviour.prompt_ids])
    try:
        model(input_ids=batch.ids, attention_mask=batch.attention_mask, use_cache=False)
    finally:
        for hook in hooks:
            hook.remove()
    return found[0]


def _hook(visit: Callable[[Tensor], Tensor]) -> Callable[..., Any]:
    def call(module: nn.Module, inputs: Any, output: Any) -> Any:
        return (visit(output[0]), *output[1:]) if isinstance(output, tuple) else visit(output)

    return call


def _target_values(
    runs: Runs,
    site: Site,
    table: NodeTable,
    gradient: Float[Tensor, "seq d_model"],
    x: Float[Tensor, "seq d_model"],
) -> list[Float[Tensor, ""]]:
    """What m makes of each node, to first order."""
    sae = _sae(runs, site)
    acts = _slopes(runs, site) * sae.pre_acts(x)
    values = []
    for position, feature_id in zip(table.position.tolist(), table.feature_id.tolist(), strict=True):
        weight = sae.W_dec @ gradient[position]
        if feature_id == ERROR:
            values.append(x[position] @ gradient[position] - acts[position] @ weight)
        else:
            values.append(acts[position, feature_id] * weight[feature_id])
    return values


def _slopes(runs: Runs, site: Site) -> Float[Tensor, "seq d_sae"]:
    sae, clean = _sae(runs, site), runs.clean[site][0, : runs.n_positions]
    slopes = []
    for base in runs.baseline.activations[site]:
        moved = sae.pre_acts(base) - sae.pre_acts(clean)
        secant = (sae.encode(base) - sae.encode(clean)) / torch.where(moved == 0, 1, moved)
        slopes.append(torch.where(moved == 0, (sae.encode(clean) > 0).to(moved), secant))
    return torch.stack(slopes).mean(dim=0)
