"""Which latents mediate: attributions of pairs, and latents chosen by them for other pairs.

The choice for a pair is made on pairs that are not reported: those of the same kind that have the same concept on
either side, and where the answers count too those that have the same answer.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from circuits.effects.node_effects import NodeEffects, effects_of_gradients, score_nodes
from circuits.workbench import Workbench
from experiments.clinical_reasoning.asked_pairs import AskedPair
from experiments.clinical_reasoning.patching import Moves, Patch
from sae.host.sites import Site
from sae.progress import progress

__all__ = ["Attribution", "Latent", "LatentChoice", "attribute", "by_falling_share", "move_latents", "summed_shares"]

Latent = tuple[Site, int]
"""A feature of the dictionary at a site, wherever it is active."""

MIN_PAIRS = 4
"""Fewer pairs of a concept do not choose latents for it."""


@dataclass(frozen=True)
class Attribution:
    """Estimated effects of the nodes of one site that differ: m(node moved to the changed prompt's value) - m."""

    position: Int[Tensor, " nodes"]
    feature_id: Int[Tensor, " nodes"]
    effect: Float[Tensor, " nodes"]
    error_effect: Float[Tensor, " seq"]


def attribute(
    workbench: Workbench, pairs: Sequence[AskedPair], broad: Workbench | None = None
) -> tuple[list[dict[Site, Attribution]], list[dict[Site, Attribution]]]:
    """Integrated gradients of every pair in either set of dictionaries; those of the second cost no further pass.

    Args:
        workbench: Host and dictionaries.
        pairs: The prompt is the clean run, the changed prompt its baseline.
        broad: The same host with other dictionaries at the same sites.

    Returns:
        One for each pair; the second list is empty without `broad`.
    """
    own, others = [], []
    for pair in progress(pairs, "attributions", unit="pair"):
        scored = score_nodes(pair.runs(workbench.host, workbench.dictionaries))
        own.append(_kept(scored))
        if broad is not None:
            gradients = {site: effects.gradients for site, effects in scored.items()}
            others.append(_kept(effects_of_gradients(pair.runs(broad.host, broad.dictionaries), gradients)))
    return own, others


def _kept(scored: NodeEffects) -> dict[Site, Attribution]:
    """Without the gradients, which are large."""
    return {
        site: Attribution(each.position, each.feature_id, each.indirect_effect, each.error_effect)
        for site, each in scored.items()
    }


def summed_shares(
    attribution: Mapping[Site, Attribution], total_effect: float, positions: Int[Tensor, " places"] | None = None
) -> dict[Latent, float]:
    """What each latent that differs carries of the total effect, by estimate, over some positions together.

    Args:
        attribution: Of one pair.
        total_effect: Its total effect, not 0.
        positions: Where latents count; everywhere by default.
    """
    shares: dict[Latent, float] = defaultdict(float)
    for site, nodes in attribution.items():
        counts = torch.ones_like(nodes.position, dtype=torch.bool)
        if positions is not None:
            counts = torch.isin(nodes.position, positions.to(nodes.position.device))
        columns = nodes.feature_id[counts].tolist(), nodes.effect[counts].tolist()
        for feature, effect in zip(*columns, strict=True):
            shares[site, feature] += effect / total_effect
    return dict(shares)


@dataclass(frozen=True)
class LatentChoice:
    """Latents for pairs that were not looked at.

    Attributes:
        shares: For each key (a kind and a concept, or an answer) the mean share of each latent.
        n_pairs: How many pairs stand behind a key.
    """

    shares: Mapping[tuple[str, str], Mapping[Latent, float]]
    n_pairs: Mapping[tuple[str, str], int]

    @classmethod
    def of(
        cls, pairs: Sequence[AskedPair], shares: Sequence[Mapping[Latent, float]], *, with_answers: bool = False
    ) -> "LatentChoice":
        """From pairs and what latents carry in each.

        Args:
            pairs: None of those that latents are chosen for.
            shares: Of each pair, as `summed_shares` gives them.
            with_answers: Whether answers choose too, beside the concepts that differ.
        """
        summed: dict[tuple[str, str], dict[Latent, float]] = defaultdict(lambda: defaultdict(float))
        counts: dict[tuple[str, str], int] = defaultdict(int)
        for pair, of_pair in zip(pairs, shares, strict=True):
            for key in _keys(pair, with_answers):
                counts[key] += 1
                for latent, share in of_pair.items():
                    summed[key][latent] += share
        means = {key: {latent: x / counts[key] for latent, x in found.items()} for key, found in summed.items()}
        return cls(means, dict(counts))

    def ranked(self, pair: AskedPair, *, with_answers: bool = False) -> list[Latent] | None:
        """Latents by falling mean share, those of the pair's keys added up; only those that carry the effect forward.

        None where one of its concepts has too few pairs to choose by.
        """
        concepts = _keys(pair, False)
        if any(self.n_pairs.get(key, 0) < MIN_PAIRS for key in concepts):
            return None
        added: dict[Latent, float] = defaultdict(float)
        for key in _keys(pair, with_answers):
            for latent, share in self.shares.get(key, {}).items():
                added[latent] += share
        return by_falling_share(added)


def by_falling_share(shares: Mapping[Latent, float]) -> list[Latent]:
    """Latents with a positive share, largest first."""
    return sorted((latent for latent, share in shares.items() if share > 0), key=lambda latent: -shares[latent])


def move_latents(latents: Sequence[Latent], positions: Int[Tensor, " places"]) -> Patch:
    """Every one of some latents moved at every one of some positions."""
    by_site: dict[Site, list[int]] = defaultdict(list)
    for site, feature in latents:
        by_site[site].append(feature)
    return {site: Moves.everywhere(positions, torch.tensor(ids)) for site, ids in by_site.items()}


def _keys(pair: AskedPair, with_answers: bool) -> list[tuple[str, str]]:
    told = pair.pair
    keys: set[tuple[str, str]] = {(told.kind, told.changed_from), (told.kind, told.changed_to)}
    if with_answers:
        keys |= {("answer", told.answer), ("answer", told.changed_answer)}
    return sorted(keys)
