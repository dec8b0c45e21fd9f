"""The nodes that a circuit of a given size keeps, by name, strongest first."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from circuits.effects.node_effects import RankedEffects
from circuits.evaluation.selection import Ranking
from sae.host.sites import Site

__all__ = ["Kept", "UnitEffects", "strongest_nodes"]

Kept = tuple[str, ...]
"""Names of nodes, strongest first."""


def strongest_nodes(effects: Mapping[Site, RankedEffects], n: int) -> Kept:
    """The `n` features with the largest |effect|, all sites together."""
    ranking = Ranking.by_effect(effects)
    columns = (ranking.site_index, ranking.position, ranking.feature_id)
    top = zip(*(column[:n].tolist() for column in columns), strict=True)
    return tuple(f"{ranking.sites[site]}/{feature}@{place}" for site, place, feature in top)


@dataclass(frozen=True, eq=False)
class UnitEffects:
    """Effects of all nodes in every unit by itself: whatever units are drawn, their effects are a weighted mean.

    Attributes:
        nodes: Names.
        effect: In units of the metric; 0 for a node that a unit lacks.
    """

    nodes: tuple[str, ...]
    effect: Float[Tensor, "units nodes"]

    @classmethod
    def of(cls, units: Sequence[Mapping[Site, RankedEffects]]) -> "UnitEffects":
        """From the effects of each unit."""
        found = [_by_name(effects) for effects in units]
        nodes = tuple(dict.fromkeys(name for effects in found for name in effects))
        return cls(nodes, torch.tensor([[effects.get(name, 0.0) for name in nodes] for effects in found]))

    def strongest(self, weights: Float[Tensor, " units"], n: int) -> Kept:
        """The `n` strongest nodes where units count as given."""
        size = (weights.to(self.effect) @ self.effect).abs()
        return tuple(self.nodes[index] for index in size.topk(min(n, len(size))).indices.tolist())


def _by_name(effects: Mapping[Site, RankedEffects]) -> dict[str, float]:
    return {
        f"{site}/{feature}@{place}": effect
        for site, scored in effects.items()
        for place, feature, effect in zip(
            scored.position.tolist(), scored.feature_id.tolist(), scored.indirect_effect.tolist(), strict=True
        )
    }
