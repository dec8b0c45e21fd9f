"""What a record keeps: for each case and group of nodes the recall of some names, and how right names are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from experiments.clinical_reasoning.analyses.ground_truth.meanings import Meanings
from experiments.clinical_reasoning.analyses.ground_truth.ranked_nodes import GROUPS, RankedNodes
from experiments.clinical_reasoning.analyses.ground_truth.recall import Recall, recall_of, right_names

__all__ = ["BAR_SIZE", "SIZES", "ErrorShares", "Recalls", "RightShares", "recalls_of"]

SIZES = (5, 10, 20, 40, 100)
"""Nodes of each circuit."""
BAR_SIZE = 40
"""The size that is judged."""
DIGITS = 5


@dataclass(frozen=True)
class Recalls:
    """Columns of a table with one line a case: mean over the names that were asked for, of one group of nodes.

    Attributes:
        case: Which case.
        found: Share recalled, by size.
        random_differing: Null, by size.
        nameable: Share that any feature of the basis is named for.
        differing: Share that any node that differs is named for.
        random_named: Null at `BAR_SIZE`, as those that follow.
        random_features: Null.
        shuffled_names: Null.
    """

    case: list[int] = field(default_factory=list)
    found: list[list[float]] = field(default_factory=list)
    random_differing: list[list[float]] = field(default_factory=list)
    nameable: list[float] = field(default_factory=list)
    differing: list[float] = field(default_factory=list)
    random_named: list[float] = field(default_factory=list)
    random_features: list[float] = field(default_factory=list)
    shuffled_names: list[float] = field(default_factory=list)

    def add(self, case: int, recalls: Sequence[Recall]) -> None:
        """A line; there must be at least one recall."""
        self.case.append(case)
        self.found.append([_mean([float(each.found(size)) for each in recalls]) for size in SIZES])
        at_sizes = zip(*(each.random_differing for each in recalls), strict=True)
        self.random_differing.append([_mean(of_size) for of_size in at_sizes])
        self.nameable.append(_mean([float(each.is_nameable) for each in recalls]))
        self.differing.append(_mean([float(each.differs) for each in recalls]))
        for name in ("random_named", "random_features", "shuffled_names"):
            getattr(self, name).append(_mean([getattr(each, name) for each in recalls]))

    def to_json(self) -> dict[str, Any]:
        """By column."""
        return dict(vars(self))


@dataclass(frozen=True)
class RightShares:
    """How nodes are named, one line a case: counts of the circuits, and of all nodes that differ."""

    case: list[int] = field(default_factory=list)
    circuit: list[list[int]] = field(default_factory=list)
    differing: list[list[int]] = field(default_factory=list)

    def add(
        self, case: int, circuits: Sequence[RankedNodes], meanings: Meanings, right: Mapping[str, Sequence[str]]
    ) -> None:
        """A line.

        Args:
            case: Which.
            circuits: Its circuits.
            meanings: Of their basis.
            right: Of each kind of name those that are right.
        """
        self.case.append(case)
        for column, size in ((self.circuit, BAR_SIZE), (self.differing, None)):
            counts: list[int] = []
            for kind, names in right.items():
                numbers = [n for name in names if (n := meanings.number(kind, name)) is not None]
                found = right_names(circuits, meanings, kind, numbers, size)
                counts += [found.n_nodes, found.n_named] if not counts else []
                counts += [found.n_of_kind, found.n_right]
            column.append(counts)

    def to_json(self) -> dict[str, Any]:
        """By column; counts are nodes, named ones, and for each kind those of it and those that are right."""
        return dict(vars(self))


@dataclass(frozen=True)
class ErrorShares:
    """What goes through the errors of dictionaries, one line a case: effects at each site, summed over contrasts."""

    case: list[int] = field(default_factory=list)
    errors: list[list[float]] = field(default_factory=list)
    sites: list[list[float]] = field(default_factory=list)

    def add(self, case: int, circuits: Sequence[RankedNodes]) -> None:
        """A line."""
        self.case.append(case)
        for column, effects in (
            (self.errors, [nodes.error_effect for nodes in circuits]),
            (self.sites, [nodes.site_effect for nodes in circuits]),
        ):
            column.append([round(value, DIGITS) for value in torch.stack(effects).sum(dim=0).tolist()])

    def to_json(self) -> dict[str, Any]:
        """By column; a number a site."""
        return dict(vars(self))


def recalls_of(
    circuits: Sequence[RankedNodes], meanings: Meanings, kind: str, names: Sequence[str]
) -> dict[str, list[Recall]]:
    """For each group the recall of each name."""
    numbers = [meanings.number(kind, name) for name in names]
    return {
        group: [recall_of(circuits, meanings, number, group, SIZES, BAR_SIZE) for number in numbers] for group in GROUPS
    }


def _mean(values: Sequence[float]) -> float:
    return round(sum(values) / len(values), DIGITS)
