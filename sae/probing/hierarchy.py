"""A hierarchy of concepts as groups, a parent with the concepts below it, and groups that are none."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sae.labelled_documents import family_of

__all__ = ["Group", "groups_of", "matched_groups", "shuffled_groups"]


@dataclass(frozen=True)
class Group:
    """A parent and the told concepts below it.

    Attributes:
        parent: Its name.
        children: Concepts that are told, at any depth below the parent.
        others: Told concepts of the same kind that are not.
    """

    parent: str
    children: tuple[str, ...]
    others: tuple[str, ...]


def groups_of(parents: Mapping[str, Sequence[str]], told: Sequence[str]) -> list[Group]:
    """Every parent with at least two told concepts below it and at least two told ones that are not.

    Concepts are of one kind if they have the same family; parents with the same children are one.

    Args:
        parents: Direct parents of each concept.
        told: Concepts that the text tells.
    """
    above = {concept: _ancestors(concept, parents) for concept in told}
    found: dict[tuple[str, ...], Group] = {}
    for parent in sorted({name for names in above.values() for name in names}):
        for kind in sorted({family_of(concept) for concept in told}):
            same = [concept for concept in told if family_of(concept) == kind and above[concept]]
            children = tuple(sorted(concept for concept in same if parent in above[concept]))
            others = tuple(sorted(set(same) - set(children)))
            if len(children) >= 2 and len(others) >= 2:
                found.setdefault(children, Group(parent, children, others))
    return list(found.values())


def matched_groups(groups: Sequence[Group], counts: Mapping[str, int]) -> list[Group]:
    """For each group one that is no hierarchy: every child replaced by that of another parent with the nearest count.

    A parent is taken from once before it is taken from twice. Groups with fewer others than children are left out.
    """
    return [_matched(group, groups, counts) for group in groups if len(group.others) > len(group.children)]


def shuffled_groups(groups: Sequence[Group], rng: np.random.Generator) -> list[Group]:
    """Each group with as many children drawn from all concepts of its kind."""
    found = []
    for group in groups:
        drawn = rng.permutation(sorted((*group.children, *group.others))).tolist()
        n = len(group.children)
        found.append(Group(group.parent, tuple(sorted(drawn[:n])), tuple(sorted(drawn[n:]))))
    return found


def _matched(group: Group, groups: Sequence[Group], counts: Mapping[str, int]) -> Group:
    home = {concept: _smallest(concept, groups) for concept in group.others}
    used: dict[str, int] = {}
    free = set(group.others)
    chosen = []
    for child in group.children:
        nearest = min(free, key=lambda other: (used.get(home[other], 0), abs(counts[other] - counts[child]), other))
        free.remove(nearest)
        used[home[nearest]] = used.get(home[nearest], 0) + 1
        chosen.append(nearest)
    everything = {*group.children, *group.others}
    return Group(group.parent, tuple(sorted(chosen)), tuple(sorted(everything - set(chosen))))


def _smallest(concept: str, groups: Sequence[Group]) -> str:
    """The parent of the smallest group that a concept is in; the concept itself where it is in none."""
    own = [group for group in groups if concept in group.children]
    return min(own, key=lambda group: len(group.children)).parent if own else concept


def _ancestors(concept: str, parents: Mapping[str, Sequence[str]]) -> set[str]:
    found: set[str] = set()
    front = list(parents.get(concept, ()))
    while front:
        name = front.pop()
        if name not in found:
            found.add(name)
            front += parents.get(name, ())
    return found
