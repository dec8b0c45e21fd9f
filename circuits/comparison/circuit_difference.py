"""Two circuits beside each other: what only one of them has, and how alike they weigh what both have.

Features are compared, errors are left out. A feature is the same where both circuits used the same dictionary and it
has the same index; where the dictionaries differ, its partner is found by decoder cosine. Prompts of equal token length
are compared position by position; with others, a feature's contributions are summed over positions.
"""

from collections import defaultdict
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy.stats import binomtest, spearmanr

from circuits.comparison.feature_matching import match_features
from circuits.graph.circuit import Circuit
from circuits.graph.recorded_saes import load_recorded_sae, recorded_hash
from sae.host.sites import Site

__all__ = ["CircuitDifference", "SharedNode", "compare_circuits", "rank_correlation"]

MIN_COSINE = 0.7
N_PERMUTATIONS = 1000
FEWEST_RANKED = 3

Place = tuple[Site, int, int | None]
"""Site, feature, position (None where positions are summed)."""


@dataclass(frozen=True)
class SharedNode:
    """A node of both circuits, under its name in each, with both contributions."""

    a: str
    b: str
    contribution_a: float
    contribution_b: float


@dataclass(frozen=True)
class CircuitDifference:
    """What `circuits diff` prints."""

    by: str
    """`position`, or `feature` where contributions were summed over positions."""
    min_cosine: float
    matched_sites: tuple[str, ...]
    """Sites whose dictionaries differ and whose features were matched by cosine."""
    only_a: dict[str, float]
    """Contribution by node."""
    only_b: dict[str, float]
    shared: tuple[SharedNode, ...]
    jaccard: float | None
    """Shared nodes over all nodes of either; None where there is none."""
    jaccard_interval: tuple[float, float] | None
    """Clopper-Pearson, 95 %, taking nodes as independent."""
    rank_correlation: float | None
    """Spearman's, of the shared nodes' contributions; None for fewer than three or where one side is constant."""
    rank_correlation_null: tuple[float, float] | None
    """Middle 95 % of the same with one side shuffled."""

    def to_json(self) -> dict[str, Any]:
        """The fields, nested, as JSON types."""
        return asdict(self)


def compare_circuits(a: Circuit, b: Circuit, *, min_cosine: float = MIN_COSINE, seed: int = 0) -> CircuitDifference:
    """Compare two circuits.

    Args:
        a: The one.
        b: The other; of another prompt, other dictionaries or another host if need be.
        min_cosine: Least cosine of decoder rows at which features of different dictionaries count as the same.
        seed: Of the shuffles behind the null.

    Raises:
        ValueError: Dictionaries differ and one cannot be loaded, or they differ in width.
    """
    by_position = len(a.tokens) == len(b.tokens)
    nodes_a, nodes_b = (_contributions(circuit, by_position) for circuit in (a, b))
    differing = _differing_sites(a, b)
    partners = {site: _partners(a, b, site, min_cosine) for site in differing}
    pairs = {}
    for site, feature, position in nodes_a:
        partner = partners[site].get(feature) if site in partners else feature
        if partner is not None and (site, partner, position) in nodes_b:
            pairs[site, feature, position] = (site, partner, position)
    shared = [SharedNode(_name(p), _name(q), nodes_a[p], nodes_b[q]) for p, q in pairs.items()]
    only_a = {_name(place): value for place, value in nodes_a.items() if place not in pairs}
    only_b = {_name(place): value for place, value in nodes_b.items() if place not in set(pairs.values())}
    n_all = len(shared) + len(only_a) + len(only_b)
    correlation, null = rank_correlation(
        [node.contribution_a for node in shared], [node.contribution_b for node in shared], seed=seed
    )
    return CircuitDifference(
        by="position" if by_position else "feature",
        min_cosine=min_cosine,
        matched_sites=tuple(map(str, differing)),
        only_a=_strongest_first(only_a),
        only_b=_strongest_first(only_b),
        shared=tuple(sorted(shared, key=lambda node: -max(abs(node.contribution_a), abs(node.contribution_b)))),
        jaccard=len(shared) / n_all if n_all else None,
        jaccard_interval=_interval(len(shared), n_all),
        rank_correlation=correlation,
        rank_correlation_null=null,
    )


def rank_correlation(
    x: list[float], y: list[float], *, seed: int = 0
) -> tuple[float | None, tuple[float, float] | None]:
    """Spearman's correlation and the middle 95 % of it under shuffling; None for both where it is not defined."""
    if len(x) < FEWEST_RANKED or len(set(x)) == 1 or len(set(y)) == 1:
        return None, None
    dice = np.random.default_rng(seed)
    shuffled = [float(spearmanr(x, dice.permutation(y)).statistic) for _ in range(N_PERMUTATIONS)]
    low, high = np.quantile(shuffled, (0.025, 0.975))
    return float(spearmanr(x, y).statistic), (float(low), float(high))


def _contributions(circuit: Circuit, by_position: bool) -> dict[Place, float]:
    found: dict[Place, float] = defaultdict(float)
    for node in circuit.features:
        assert node.feature is not None
        found[node.site, node.feature, node.position if by_position else None] += node.contribution
    return dict(found)


def _differing_sites(a: Circuit, b: Circuit) -> list[Site]:
    """Sites of both circuits at which they used different dictionaries."""
    both = {node.site for node in a.features} & {node.site for node in b.features}
    return sorted(site for site in both if recorded_hash(a, site) != recorded_hash(b, site))


def _partners(a: Circuit, b: Circuit, site: Site, min_cosine: float) -> dict[int, int]:
    features_a, features_b = (
        sorted({node.feature for node in circuit.features if node.site == site and node.feature is not None})
        for circuit in (a, b)
    )
    sae_a, sae_b = (load_recorded_sae(circuit, site) for circuit in (a, b))
    return match_features(sae_a, features_a, sae_b, features_b, min_cosine=min_cosine)


def _name(place: Place) -> str:
    site, feature, position = place
    return f"{site}/{feature}" if position is None else f"{site}/{feature}@{position}"


def _strongest_first(nodes: dict[str, float]) -> dict[str, float]:
    return dict(sorted(nodes.items(), key=lambda entry: -abs(entry[1])))


def _interval(n_shared: int, n_all: int) -> tuple[float, float] | None:
    if n_all == 0:
        return None
    interval = binomtest(n_shared, n_all).proportion_ci(0.95)
    return float(interval.low), float(interval.high)
