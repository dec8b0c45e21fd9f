r"""Whether the circuits of a case name what they should, and how often nodes chosen without regard to effects would.

A case has one circuit for each of its contrasts: the first k nodes of each ranking. A meaning is recalled where any of
them has it. All nulls are exact probabilities of the same event, so that none is drawn:

- random differing nodes: k of the N nodes that differ, of which h have the meaning; missed with C(N-h, k) / C(N, k);
- random named nodes: the same among those that have a name;
- random features: every node of the circuits exchanged for any feature of its site;
- shuffled names: the names of each site's named features permuted among them.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from experiments.clinical_reasoning.analyses.ground_truth.meanings import UNNAMED, Meanings
from experiments.clinical_reasoning.analyses.ground_truth.ranked_nodes import RankedNodes

__all__ = ["Recall", "RightNames", "miss_probability", "recall_of", "right_names"]


@dataclass(frozen=True)
class Recall:
    """Of one meaning in one case; probabilities for nulls.

    Attributes:
        is_nameable: Whether any feature of the basis is named for it.
        differs: Whether any node of the group that is named for it differs: with a size without bounds it is found.
        first: How many nodes the smallest circuits have that recall it; None where none does.
        random_differing: By size.
        random_named: At one size, as those that follow.
        random_features: Null.
        shuffled_names: Null.
    """

    is_nameable: bool
    differs: bool
    first: int | None
    random_differing: tuple[float, ...]
    random_named: float
    random_features: float
    shuffled_names: float

    def found(self, size: int) -> bool:
        """Whether circuits of this many nodes recall it."""
        return self.first is not None and self.first <= size


@dataclass(frozen=True)
class RightNames:
    """How the nodes of a case's circuits are named, each counted once.

    Attributes:
        n_nodes: Nodes.
        n_named: Those that have any name.
        n_of_kind: Those whose name is of the wanted kind.
        n_right: Of these, those with one of the wanted names.
    """

    n_nodes: int
    n_named: int
    n_of_kind: int
    n_right: int


def recall_of(
    circuits: Sequence[RankedNodes], meanings: Meanings, number: int | None, group: str, sizes: Sequence[int], size: int
) -> Recall:
    """Recall of one meaning by the circuits of a case.

    Args:
        circuits: One a contrast.
        meanings: Of their basis.
        number: The meaning; None where the basis has no name for it.
        group: Which nodes count.
        sizes: Nodes of each circuit, for the curves.
        size: The one at which all nulls are taken.
    """
    if number is None:
        return Recall(False, False, None, (0.0,) * len(sizes), 0.0, 0.0, 0.0)
    hits = [((nodes.meaning == number) & nodes.groups[group]).nonzero()[:, 0] for nodes in circuits]
    ranks = [int(found[0]) + 1 for found in hits if len(found)]
    counted = [(len(nodes), len(found)) for nodes, found in zip(circuits, hits, strict=True)]
    named = [(int((nodes.meaning != UNNAMED).sum()), len(found)) for nodes, found in zip(circuits, hits, strict=True)]
    return Recall(
        is_nameable=True,
        differs=bool(ranks),
        first=min(ranks, default=None),
        random_differing=tuple(_any_drawn(counted, n) for n in sizes),
        random_named=_any_drawn(named, size),
        random_features=_random_features(circuits, meanings, number, group, size),
        shuffled_names=_shuffled_names(circuits, meanings, number, group, size),
    )


def right_names(
    circuits: Sequence[RankedNodes], meanings: Meanings, kind: str, right: Sequence[int], size: int | None
) -> RightNames:
    """How many nodes of a kind of name are named rightly.

    Args:
        circuits: One a contrast; a node that several have counts once.
        meanings: Of their basis.
        kind: Such as `finding`.
        right: Meanings that are right.
        size: Nodes of each circuit; None for all that differ.
    """
    keys = torch.cat(
        [torch.stack([n.site, n.position, n.feature_id, n.meaning], dim=1)[:size] for n in circuits]
    ).unique(dim=0)
    meaning = keys[:, 3]
    is_right = torch.isin(meaning, torch.tensor(list(right), dtype=meaning.dtype))
    of_kind = meanings.is_of(kind, meaning)
    return RightNames(len(keys), int((meaning != UNNAMED).sum()), int(of_kind.sum()), int((of_kind & is_right).sum()))


def miss_probability(n: int, n_hits: int, n_drawn: int) -> float:
    """C(n - n_hits, n_drawn) / C(n, n_drawn): that a draw without replacement holds none of the hits."""
    drawn = min(n_drawn, n)
    return math.prod((max(0, n - drawn - i) / (n - i) for i in range(n_hits)), start=1.0)


def _any_drawn(counted: Sequence[tuple[int, int]], size: int) -> float:
    """That any of independent draws, one a circuit, holds a hit."""
    return 1 - math.prod((miss_probability(n, n_hits, size) for n, n_hits in counted), start=1.0)


def _random_features(circuits: Sequence[RankedNodes], meanings: Meanings, number: int, group: str, size: int) -> float:
    widths = [len(ids) for ids in meanings.of_feature.values()]
    miss = 1.0
    for nodes in circuits:
        sites = nodes.site[:size][nodes.groups[group][:size]]
        for site, n_nodes in enumerate(torch.bincount(sites, minlength=len(widths)).tolist()):
            miss *= (1 - int(meanings.counts[site, number]) / widths[site]) ** n_nodes
    return 1 - miss


def _shuffled_names(circuits: Sequence[RankedNodes], meanings: Meanings, number: int, group: str, size: int) -> float:
    kept = [nodes.groups[group][:size] & (nodes.meaning[:size] != UNNAMED) for nodes in circuits]
    features = torch.cat(
        [torch.stack([n.site[:size][k], n.feature_id[:size][k]], dim=1) for n, k in zip(circuits, kept, strict=True)]
    ).unique(dim=0)
    miss = 1.0
    for site, n_named in enumerate(meanings.counts.sum(dim=1).tolist()):
        drawn = int((features[:, 0] == site).sum())
        miss *= miss_probability(n_named, int(meanings.counts[site, number]), drawn)
    return 1 - miss
