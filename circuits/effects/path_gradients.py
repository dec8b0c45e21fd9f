"""Gradients along the straight path from the clean run to its baseline at one site.

With one baseline the path has as many points as asked for, with several each baseline gets its own, all of them spread
over the path. Where a tolerance is given the points are doubled until the effects of the site add up to the exact
effect of replacing it.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from circuits.effects.site_replacement import effect_of_replacing
from circuits.runs.passes import in_passes
from circuits.runs.runs import Runs
from sae.host.sites import Site

__all__ = ["IG_RULES", "MOST_IG_STEPS", "Path", "PathGradient", "of_prompt", "path_gradient"]

IG_RULES = {"midpoint": 0.5, "left": 0.0}
"""Where in each step of the path its gradient is taken, as a share of the step."""

MOST_IG_STEPS = 320
"""Points at a site, those of all references together, beyond which its path is not refined."""

SMALLEST_TOTAL = 1e-3
"""A tolerance is a share of the exact total, or of this where the total is smaller."""


@dataclass(frozen=True)
class Path:
    """How a path is walked."""

    steps: int = 5
    """Points with one baseline; with several each gets one, or twice as many each time that the path is refined."""
    rule: str = "midpoint"
    """Name in `IG_RULES`."""
    tolerance: float | None = None
    """Largest |sum of effects - exact effect| as a share of the exact effect; None for no refinement."""

    def __post_init__(self) -> None:
        if self.rule not in IG_RULES:
            raise ValueError(f"ig_rule {self.rule!r} is unknown, expected one of {', '.join(IG_RULES)}")


@dataclass(frozen=True)
class PathGradient:
    """What a path gives."""

    gradient: Float[Tensor, "references seq d_model"]
    """Mean over each reference's points."""
    n_points: int
    """Points at the site, those of all references together."""


def path_gradient(runs: Runs, site: Site, path: Path) -> PathGradient:
    """Gradient of m along the path at one site, refined until it explains the site where a tolerance is given.

    Source: integrated gradients for feature circuits, Marks et al. 2024 (arXiv 2403.19647), section 3.1, equation 3,
    which takes the left rule with 10 steps. The midpoint rule at half the points has a several times smaller error.
    """
    n_references = runs.baseline.n_references
    n_points = path.steps if n_references == 1 else n_references
    gradient = _at_points(runs, site, n_points, path.rule)
    if path.tolerance is None:
        return PathGradient(gradient, n_points)
    exact = effect_of_replacing(runs, site)
    allowed = path.tolerance * max(abs(exact), SMALLEST_TOTAL)
    while abs(_explained(runs, site, gradient) - exact) > allowed and 2 * n_points <= MOST_IG_STEPS:
        n_points *= 2
        gradient = _at_points(runs, site, n_points, path.rule)
    return PathGradient(gradient, n_points)


def _explained(runs: Runs, site: Site, gradient: Float[Tensor, "references seq d_model"]) -> float:
    """Sum of the effects of all nodes of a site, features and errors, without telling them apart."""
    change = runs.baseline.activations[site] - runs.clean[site][:1, : runs.n_positions]
    by_position = (change * gradient).sum(dim=-1).mean(dim=0)
    return by_position[runs.at_nodes].sum().item()


def _at_points(runs: Runs, site: Site, n_points: int, rule: str) -> Float[Tensor, "references seq d_model"]:
    """Mean of the gradients at evenly spread points, which the references take in turn."""
    n_references = runs.baseline.n_references
    none = torch.zeros_like(runs.baseline.activations[site])

    def gradients(some: Int[Tensor, " points"]) -> Float[Tensor, "references seq d_model"]:
        some = some.to(none.device)
        alphas, references = (some + IG_RULES[rule]) / n_points, some % n_references
        return none.index_add(0, references, _gradient_at_points(runs, site, alphas, references))

    summed = torch.stack(in_passes(n_points, runs.rows_per_pass(), gradients)).sum(dim=0)
    return summed * (n_references / n_points)


def _gradient_at_points(
    runs: Runs, site: Site, alphas: Float[Tensor, " points"], references: Int[Tensor, " points"]
) -> Float[Tensor, "points seq d_model"]:
    n_points = len(alphas)
    batch = runs.batch.repeat(n_points)
    clean = runs.clean[site].repeat(n_points, 1, 1)
    per_point = runs.behaviour.rows_per_prompt
    target = runs.baseline_rows(site)[references].repeat_interleave(per_point, dim=0)
    moved = torch.lerp(clean, target, alphas.repeat_interleave(per_point)[:, None, None].to(clean))
    activation = torch.where(batch.node_mask[..., None], moved, clean)
    behaviour = runs.behaviour
    _, gradient = runs.host.gradient_at(batch, site, activation, behaviour.metric, logits_to_keep=behaviour.kept_logits)
    return of_prompt(runs, gradient, n_points)


def of_prompt(
    runs: Runs, gradient: Float[Tensor, "rows full d_model"], n_points: int
) -> Float[Tensor, "points seq d_model"]:
    """Sum over the rows of one prompt, which share its activations, without the appended answer tokens."""
    return gradient.view(n_points, -1, *gradient.shape[1:]).sum(dim=1)[:, : runs.n_positions]
