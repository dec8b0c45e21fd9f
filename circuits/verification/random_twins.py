"""The null of an intervention: the same done to other features that are at work where it acts."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from jaxtyping import Bool
from torch import Tensor

from circuits.runs.ensemble import Ensemble
from circuits.verification.interventions import Intervention

__all__ = ["node_positions_of", "random_twins"]


def random_twins(
    ensemble: Ensemble, interventions: Sequence[Intervention], *, n_draws: int, seed: int
) -> list[list[Intervention]]:
    """Draws in which every changed feature is replaced by a random one; errors are left out.

    Replacements are active at the same site and position in some prompt, or where nodes are set to their baseline in
    its baseline, and are none of the changed features. No draw at all where a feature has no replacement left.

    Args:
        ensemble: The runs.
        interventions: What the null is of.
        n_draws: How many.
        seed: Of the draws.
    """
    changed = [each for each in interventions if each.feature is not None]
    candidates = [_candidates(ensemble, each, {(other.site, other.feature) for other in changed}) for each in changed]
    if not changed:
        return []
    random = torch.Generator().manual_seed(seed)
    drawn = [_drawn(changed, candidates, random) for _ in range(n_draws)]
    return [twins for twins in drawn if twins is not None]


def node_positions_of(ensemble: Ensemble, index: int, intervention: Intervention) -> Bool[Tensor, " seq"]:
    """Where an intervention acts in one prompt of an ensemble."""
    at_nodes = ensemble.runs[index].at_nodes
    if intervention.position is None:
        return at_nodes
    return at_nodes & (ensemble.places.of_position[index].to(at_nodes.device) == intervention.position)


def _candidates(ensemble: Ensemble, intervention: Intervention, taken: set[tuple[object, int | None]]) -> list[int]:
    found: set[int] = set()
    for index, runs in enumerate(ensemble.runs):
        at = node_positions_of(ensemble, index, intervention)
        sides = [runs.clean_features, runs.baseline.features][: 2 if intervention.operation == "to_baseline" else 1]
        for features in sides:
            active = features[intervention.site]
            found.update(active.feature_id[at[active.position]].tolist())
    return sorted(feature for feature in found if (intervention.site, feature) not in taken)


def _drawn(
    changed: Sequence[Intervention], candidates: Sequence[list[int]], random: torch.Generator
) -> list[Intervention] | None:
    """One replacement for each, none twice at a site; None where that fails."""
    used: set[tuple[object, int | None]] = set()
    twins = []
    for each, features in zip(changed, candidates, strict=True):
        free = [feature for feature in features if (each.site, feature) not in used]
        if not free:
            return None
        chosen = free[int(torch.randint(len(free), (1,), generator=random))]
        used.add((each.site, chosen))
        twins.append(replace(each, feature=chosen))
    return twins
