"""How much each node matters: indirect_effect = m(clean with node := baseline) - m(clean).

The dictionaries stay out of the gradient. With error terms kept, `x = decode(f) + error` holds exactly, so the
derivative by a feature is its decoder row times the derivative of the plain model by x, and a straight line between two
feature vectors (errors moving along) is a straight line between two activations. One loop serves every rule:

1. a gradient of m at the site, for each reference of the baseline;
2. contracted with the decoder rows of the features that are active on either side, times their change;
3. on request, the sum over the site compared with the exact effect of replacing it: the residual of the rule.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from circuits.effects.path_gradients import Path, of_prompt, path_gradient
from circuits.effects.site_replacement import effect_of_replacing
from circuits.runs.dictionaries import decoder_derivative, decoder_rows_of
from circuits.runs.passes import in_passes
from circuits.runs.runs import Runs
from sae.host.sites import Site

__all__ = [
    "METHODS",
    "NodeEffects",
    "RankedEffects",
    "SiteEffects",
    "effects_of_gradients",
    "score_nodes",
    "site_residuals",
]

LINEARISED = {"attribution_patching": "plain", "exact": "plain", "frozen": "frozen", "relp": "relp"}
"""Rules with one backward pass at the clean run, and the linearisation of the model that it goes through."""

METHODS = ("integrated_gradients", "attribution_patching", "frozen", "relp", "exact")


@runtime_checkable
class RankedEffects(Protocol):
    """Feature nodes of one site with their effects: of one prompt at its positions, of an ensemble at its places."""

    @property
    def position(self) -> Int[Tensor, " nodes"]:
        """Position or place of each node."""

    @property
    def feature_id(self) -> Int[Tensor, " nodes"]:
        """Feature of each node."""

    @property
    def indirect_effect(self) -> Float[Tensor, " nodes"]:
        """In units of the metric."""


@dataclass(frozen=True)
class SiteEffects:
    """Effects of the nodes of one site; features that are equal on both sides have none and are left out."""

    position: Int[Tensor, " nodes"]
    feature_id: Int[Tensor, " nodes"]
    activation: Float[Tensor, " nodes"]
    baseline_activation: Float[Tensor, " nodes"]
    """Mean over the references."""
    indirect_effect: Float[Tensor, " nodes"]
    """Mean over the references, in units of the metric."""
    error_effect: Float[Tensor, " seq"]
    """The same of the error at each position."""
    gradients: Float[Tensor, "_ seq d_model"]
    """Derivative of m by the site, averaged over the path, of each reference; one row where all share it."""
    n_points: int = 1
    """How many gradients that comes from."""

    @property
    def gradient(self) -> Float[Tensor, "seq d_model"]:
        """Derivative of m by the site, averaged over the path and the references."""
        return self.gradients.mean(dim=0)


NodeEffects = dict[Site, SiteEffects]


def score_nodes(
    runs: Runs,
    method: str = "integrated_gradients",
    *,
    ig_steps: int = 5,
    ig_rule: str = "midpoint",
    ig_tolerance: float | None = None,
) -> NodeEffects:
    """Effects of all feature and error nodes.

    Args:
        runs: Clean and baseline runs.
        method: `integrated_gradients` (along the path from clean to baseline), `attribution_patching` (gradient at the
            clean run), `frozen` or `relp` (the same of a linearised model, see `sae/host/linearisation.py`), or
            `exact` (each node patched by itself; slow).
        ig_steps: Points of the path. With several references each gets one point, stratified along the path.
        ig_rule: `midpoint`, or `left` as in published code.
        ig_tolerance: Double the points of a site until its effects miss the exact effect of replacing it by at most
            this share of it.

    Source: attribution patching and integrated gradients for feature circuits, Marks et al. 2024 (arXiv 2403.19647),
    section 3.1, equations 2 and 3; RelP, arXiv 2508.21258.
    """
    if method not in METHODS:
        raise ValueError(f"method {method!r} is unknown, expected one of {', '.join(METHODS)}")
    path = Path(ig_steps, ig_rule, ig_tolerance)
    gradients = _clean_gradients(runs, LINEARISED[method]) if method in LINEARISED else {}
    effects = {}
    for site in runs.sites:
        if gradients:
            effects[site] = _contract(runs, site, gradients[site])
        else:
            found = path_gradient(runs, site, path)
            effects[site] = replace(_contract(runs, site, found.gradient), n_points=found.n_points)
        if method == "exact":
            effects[site] = _measured(runs, site, effects[site])
    return effects


def effects_of_gradients(runs: Runs, gradients: Mapping[Site, Float[Tensor, "_ seq d_model"]]) -> NodeEffects:
    """Effects under known gradients. These do not depend on dictionaries: effects under others cost no pass.

    Args:
        runs: Clean and baseline runs.
        gradients: Of each site; `SiteEffects.gradients` gives the same effects again.
    """
    return {site: _contract(runs, site, of_site) for site, of_site in gradients.items()}


def site_residuals(runs: Runs, effects: NodeEffects) -> dict[Site, float]:
    """|sum of effects - exact effect| of each site, features and errors together: what the rule leaves unexplained."""
    residuals = {}
    for site, scored in effects.items():
        total = scored.indirect_effect.sum() + scored.error_effect.sum()
        residuals[site] = abs(total.item() - effect_of_replacing(runs, site))
    return residuals


def _clean_gradients(runs: Runs, linearisation: str) -> dict[Site, Float[Tensor, "1 seq d_model"]]:
    """dm/dx of every site in one forward and one backward pass."""
    behaviour = runs.behaviour
    found = runs.host.gradients(
        runs.batch, runs.sites, behaviour.metric, logits_to_keep=behaviour.kept_logits, linearisation=linearisation
    )
    return {site: of_prompt(runs, gradient, 1) for site, gradient in found.gradients.items()}


def _contract(runs: Runs, site: Site, gradients: Float[Tensor, "_ seq d_model"]) -> SiteEffects:
    """Effects from gradients: each active feature contributes its value times its decoder row's derivative."""
    clean, base = runs.clean_features[site], runs.baseline.features[site]
    n = runs.baseline.n_references
    gradient = gradients.expand(n, -1, -1)
    mean_gradient = gradients.mean(dim=0)
    dictionary = runs.dictionaries[site]
    by_clean = decoder_derivative(dictionary, mean_gradient[None], clean.row, clean.position, clean.feature_id)
    by_base = decoder_derivative(dictionary, gradient, base.row, base.position, base.feature_id)
    contributions = torch.cat([-clean.value * by_clean, base.value * by_base / n])

    key, slot = torch.cat([clean.key, base.key]).unique(return_inverse=True)
    from_clean, from_base = slot[: len(clean.key)], slot[len(clean.key) :]
    zeros = mean_gradient.new_zeros(len(key))
    effect = zeros.index_add(0, slot, contributions)
    activation = zeros.index_add(0, from_clean, clean.value)
    baseline_activation = zeros.index_add(0, from_base, base.value / n)
    differs = _differs(activation, from_base, base.value, n)

    change = runs.baseline.activations[site] - runs.clean[site][:1, : runs.n_positions]
    whole = (change * gradient).sum(-1).mean(dim=0) * runs.at_nodes
    position = key // clean.d_sae
    explained = torch.zeros_like(whole).index_add(0, position, effect)
    return SiteEffects(
        position[differs],
        (key % clean.d_sae)[differs],
        activation[differs],
        baseline_activation[differs],
        effect[differs],
        whole - explained,
        gradients,
    )


def _differs(
    activation: Float[Tensor, " nodes"],
    slot: Int[Tensor, " entries"],
    value: Float[Tensor, " entries"],
    n_references: int,
) -> Bool[Tensor, " nodes"]:
    """Nodes whose value is not the same in the clean run and in every reference."""
    equal = torch.isclose(value, activation[slot], rtol=1e-5, atol=1e-6).to(activation.dtype)
    n_equal = torch.zeros_like(activation).index_add(0, slot, equal)
    return n_equal < n_references


def _measured(runs: Runs, site: Site, scored: SiteEffects) -> SiteEffects:
    """The same nodes with their effects measured: one run of the model per node and reference."""
    dictionary = runs.dictionaries[site]
    feature_ids, column = scored.feature_id.unique(return_inverse=True)
    values = runs.baseline.features[site].columns(feature_ids)[:, scored.position, column]
    decoder_rows = decoder_rows_of(dictionary, scored.feature_id)
    at_nodes = runs.at_nodes.nonzero()[:, 0]
    clean_error = runs.clean_error(site)
    effect = torch.zeros_like(scored.indirect_effect)
    error_effect = torch.zeros_like(scored.error_effect)
    for reference in range(runs.baseline.n_references):
        change = (values[reference] - scored.activation)[:, None] * decoder_rows
        effect += _effect_of_adding(runs, site, scored.position, change)
        moved_error = runs.baseline_error(site, reference) - clean_error
        error_effect[at_nodes] += _effect_of_adding(runs, site, at_nodes, moved_error[at_nodes])
    n = runs.baseline.n_references
    return replace(scored, indirect_effect=effect / n, error_effect=error_effect / n)


def _effect_of_adding(
    runs: Runs, site: Site, position: Int[Tensor, " nodes"], change: Float[Tensor, "nodes d_model"]
) -> Float[Tensor, " nodes"]:
    """m(clean with `change` added at its position) - m(clean), for each node by itself."""

    def measure(rows: Int[Tensor, " some"]) -> Float[Tensor, " some"]:
        added = change.new_zeros(len(rows), runs.batch.ids.shape[1], change.shape[1])
        added[torch.arange(len(rows)), position[rows]] = change[rows]
        added = added.repeat_interleave(runs.behaviour.rows_per_prompt, dim=0)
        run = runs.host.forward(
            runs.batch.repeat(len(rows)),
            {site: partial(torch.add, added)},
            logits_to_keep=runs.behaviour.kept_logits,
        )
        return runs.behaviour.metric(run.logits) - runs.clean_metric

    return torch.cat([change.new_zeros(0), *in_passes(len(position), runs.rows_per_pass(), measure)])
