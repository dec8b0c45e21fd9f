"""Pairs of vignettes of the synthetic clinic, whose right answers follow from its rule."""

import random
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from itertools import islice
from typing import Any

from experiments.clinic.cases import sample_case
from experiments.clinic.phrasing import Phrasing, sample_phrasing
from experiments.clinical_reasoning.alignment import misalignment
from experiments.clinical_reasoning.changes import Change, changes
from experiments.clinical_reasoning.telling import tell
from experiments.clinical_reasoning.vignette_pair import Kind, VignettePair

__all__ = ["N_TEMPLATES", "ClinicPairs", "templates"]

N_TEMPLATES = 60
"""How many wordings there are: enough to resample, few enough for several pairs each."""


class ClinicPairs:
    """Pairs without end, of every kind, in wordings that training never combined.

    A pair is a case in one of `N_TEMPLATES` templates, the sentences around what the case says, which all seeds and
    kinds share. Names of findings are drawn anew for each pair.

    Args:
        tokenizer: A fast transformers tokenizer; prompts of a pair have equal length under it.
    """

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer

    def pairs(self, kind: Kind, *, seed: int) -> Iterator[VignettePair]:
        """Pairs of a kind, the same for the same seed.

        Each case gives one pair at most: a random one of the changes that keep the token length and touch nothing else.
        """
        rng = random.Random(f"pairs {kind} {seed}")
        while True:
            case = sample_case(rng)
            surfaces = sample_phrasing(rng, "test").surfaces
            phrasing = replace(rng.choice(templates()), surfaces=surfaces)
            candidates = list(changes(kind, case, phrasing))
            rng.shuffle(candidates)
            pairs = (_pair(kind, change) for change in candidates)
            yield from islice((pair for pair in pairs if misalignment(self.tokenizer, pair) is None), 1)


@cache
def templates() -> tuple[Phrasing, ...]:
    """The wordings of all pairs: different combinations that belong to the test split."""
    rng = random.Random("templates of pairs")
    found: dict[tuple[int, ...], Phrasing] = {}
    while len(found) < N_TEMPLATES:
        phrasing = sample_phrasing(rng, "test")
        found.setdefault(phrasing.combination, phrasing)
    return tuple(found.values())


def _pair(kind: Kind, change: Change) -> VignettePair:
    prompt, spans = tell(change.before)
    changed_prompt, changed_spans = tell(change.after)
    return VignettePair(
        kind=kind,
        template=".".join(map(str, change.before.phrasing.combination)),
        prompt=prompt,
        changed_prompt=changed_prompt,
        answer=change.answer,
        changed_answer=change.changed_answer,
        changed_from=change.changed_from,
        changed_to=change.changed_to,
        spans=spans,
        changed_spans=changed_spans,
        decisive=change.decisive,
        question=change.before.question,
    )
