"""Which mention a pair changes, and pairs of each mention."""

from collections import defaultdict
from collections.abc import Mapping
from itertools import islice

from experiments.clinical_reasoning.vignette_pair import PairSource, VignettePair
from sae.labelled_documents import family_of

__all__ = ["IRRELEVANT", "mention_of", "pairs_by_mention", "words_of"]

IRRELEVANT = "irrelevant word"
"""The null's mention: another word that must not matter, such as a relative's disease."""
DRAWS = 8
"""Pairs drawn at most, for each that is wanted of a mention: places are told seldom."""

_SEX = {"demo:man", "demo:woman"}


def mention_of(pair: VignettePair) -> str:
    """`sex`, `age`, `setting`, or the first part of the concept; other distractors are all one."""
    family = family_of(pair.changed_from) or pair.changed_from
    if pair.kind == "distractor" and family != "setting":
        return IRRELEVANT
    if family == "demo":
        return "sex" if pair.changed_from in _SEX else "age"
    return family


def words_of(pair: VignettePair) -> tuple[str, int]:
    """What becomes what, in alphabetical order, and -1 where the pair has them the other way round, else 1."""
    if mention_of(pair) == IRRELEVANT:
        return IRRELEVANT, 1
    names = [concept.partition(":")[2] or concept for concept in (pair.changed_from, pair.changed_to)]
    first, second = sorted(names)
    return f"{mention_of(pair)}: {first} to {second}".replace("_", " "), 1 if names[0] == first else -1


def pairs_by_mention(source: PairSource, size: int, *, seed: int) -> Mapping[str, list[VignettePair]]:
    """At most `size` different pairs of every mention, first those of who the patient is."""
    found: dict[str, list[VignettePair]] = defaultdict(list)
    seen: set[str] = set()
    for kind in ("demographic", "distractor"):
        for pair in islice(source.pairs(kind, seed=seed), DRAWS * size):
            own = found[mention_of(pair)]
            if len(own) < size and pair.prompt not in seen:
                own.append(pair)
                seen |= {pair.prompt, pair.changed_prompt}
    return found
