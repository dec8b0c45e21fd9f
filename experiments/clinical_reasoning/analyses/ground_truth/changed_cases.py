"""The prompts of a case with one finding changed, with all of them changed, or with its condition changed."""

import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

from experiments.clinic.cases import Case, rules_out, single_changes
from experiments.clinic.knowledge import FINDINGS, contradictory, withheld
from experiments.clinic.phrasing import Phrasing, phrases
from experiments.clinical_reasoning.analyses.ground_truth.contrast import Contrast, drawn, of_equal_length
from experiments.clinical_reasoning.changes import changes
from experiments.clinical_reasoning.telling import Telling, tell
from sae.host.host import HostModel

__all__ = ["WordedCase", "condition_swaps", "single_swaps", "whole_swaps"]


@dataclass(frozen=True)
class WordedCase:
    """A case in the words that its prompts share."""

    case: Case
    phrasing: Phrasing

    @property
    def template(self) -> str:
        """The wording, by which cases hang together; as of the pairs."""
        return ".".join(map(str, self.phrasing.combination))

    def prompt(self, question: str = "diagnosis") -> str:
        """Up to where the answer is due."""
        return tell(Telling(self.case, self.phrasing, question))[0]


def single_swaps(host: HostModel, worded: WordedCase, rng: random.Random, *, most: int) -> dict[str, list[Contrast]]:
    """For each finding of a case its prompts with that finding alone changed, whatever this does to the diagnosis.

    Args:
        host: Whose tokens must be as many.
        worded: Told in words that vignettes use.
        rng: Chooses, where there are more than `most`.
        most: Prompts for one finding.
    """
    prompt, found = worded.prompt(), defaultdict(list)
    for changed, old, new in single_changes(worded.case):
        if not withheld(changed.present):
            for phrasing in _wordings(worded.phrasing, changed, new):
                found[old].append(Contrast(prompt, WordedCase(changed, phrasing).prompt(), {old: new}))
    fitting = of_equal_length(host, (each for swaps in found.values() for each in swaps))
    by_finding = {old: [each for each in fitting if old in each.replaced] for old in found}
    return {old: drawn(rng, swaps, most) for old, swaps in by_finding.items() if swaps}


def whole_swaps(host: HostModel, worded: WordedCase, rng: random.Random, *, n_tries: int) -> list[Contrast]:
    """Prompts of a case with every finding changed at once, each in as many tokens as before.

    Args:
        host: Whose tokens must be as many.
        worded: Told in words that vignettes use.
        rng: Chooses what takes the place of each finding.
        n_tries: Draws; those that do not fit are left out.
    """
    lengths = _phrase_lengths(host)
    tries = (_all_changed(worded, rng, lengths) for _ in range(n_tries))
    return of_equal_length(host, [each for each in tries if each is not None])


def condition_swaps(host: HostModel, worded: WordedCase) -> list[Contrast]:
    """Prompts for the drug in which another condition stands for the patient's own, or a history that does not matter.

    The diagnosis is said before the question; only changes under which another drug is right are taken.
    """
    swaps = []
    for modifier in (0, 1):
        for change in changes("exception", worded.case, worded.phrasing):
            after = replace(change.after, phrasing=replace(change.after.phrasing, modifier=modifier))
            replaced = {change.changed_from.partition(":")[2]: change.changed_to.partition(":")[2]}
            swaps.append(Contrast(tell(change.before)[0], tell(after)[0], replaced))
    return of_equal_length(host, _distinct(swaps))


def _wordings(phrasing: Phrasing, changed: Case, new: str) -> list[Phrasing]:
    """The same words, the new finding in each of its phrases; a measured value has one."""
    if new in changed.values:
        return [phrasing]
    return [phrasing.with_surface(new, phrase) for phrase in phrases(new, "seen")]


def _distinct(contrasts: Sequence[Contrast]) -> list[Contrast]:
    """Without those that read as an earlier one: a history without a condition knows only one wording."""
    return list({each.changed_prompt: each for each in contrasts}.values())


def _phrase_lengths(host: HostModel) -> dict[str, int]:
    """Tokens of each phrase for a finding, after a space."""
    known = [phrase for name in FINDINGS for phrase in phrases(name, "seen")]
    encoded = host.tokenizer([f" {phrase}" for phrase in known], add_special_tokens=False)["input_ids"]
    return {phrase: len(ids) for phrase, ids in zip(known, encoded, strict=True)}


def _all_changed(worded: WordedCase, rng: random.Random, lengths: dict[str, int]) -> Contrast | None:
    """One draw; None where a finding has no substitute or the new ones do not go together."""
    case, phrasing = worded.case, worded.phrasing
    taken = {*case.present, *case.denied}
    new_of: dict[str, str] = {}
    for old in (*case.present, *case.denied):
        if old in case.values:
            new_of[old] = old
            continue
        n_tokens = lengths[phrasing.surfaces[old]]
        options = [
            (name, phrase)
            for name in FINDINGS
            if name not in taken
            for phrase in phrases(name, "seen")
            if lengths[phrase] == n_tokens
        ]
        if not options:
            return None
        new_of[old], phrase = rng.choice(options)
        phrasing = phrasing.with_surface(new_of[old], phrase)
        taken.add(new_of[old])
    changed = _with_findings(case, rng, new_of)
    if contradictory(changed.present) or withheld(changed.present) or rules_out(changed.denied, changed.exception):
        return None
    return Contrast(worded.prompt(), WordedCase(changed, phrasing).prompt(), new_of)


def _with_findings(case: Case, rng: random.Random, new_of: dict[str, str]) -> Case:
    """Other findings told in words, and every measured value on the other side of its threshold."""
    values = {}
    for finding in case.values:
        measurement = FINDINGS[finding].measurement
        assert measurement is not None
        values[finding] = rng.choice(measurement.values(finding not in case.present))
    now_denied = [finding for finding in case.values if finding in case.present]
    now_present = [finding for finding in case.values if finding in case.denied]
    return replace(
        case,
        present=(*(new_of[old] for old in case.present if old not in case.values), *now_present),
        denied=(*(new_of[old] for old in case.denied if old not in case.values), *now_denied),
        values=values,
    )
