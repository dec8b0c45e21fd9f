"""The prompts of a case with one finding changed, with all of them changed, or with its condition changed."""

import random
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace

from experiments.clinic.cases import NEUTRAL_HISTORY, Case, ruled_out, single_changes
from experiments.clinic.document import DocumentBuilder
from experiments.clinic.knowledge import EXCEPTIONS, FINDINGS, contradictory, treatment, withheld
from experiments.clinic.phrasing import QUESTIONS, Phrasing, phrases
from experiments.clinic.vignettes import TestCase, ask, render, write_vignette
from experiments.clinical_reasoning.analyses.ground_truth.contrast import Contrast, drawn, of_equal_length
from sae.host.host import HostModel

__all__ = ["condition_swaps", "single_swaps", "whole_swaps"]


def single_swaps(host: HostModel, case: TestCase, rng: random.Random, *, most: int) -> dict[str, list[Contrast]]:
    """For each finding of a case its prompts with that finding alone changed, whatever this does to the diagnosis.

    Args:
        host: Whose tokens must be as many.
        case: Told in words that vignettes use.
        rng: Chooses, where there are more than `most`.
        most: Prompts for one finding.
    """
    found = defaultdict(list)
    for changed, old, new in single_changes(case.case):
        if not withheld(changed.present):
            for phrasing in _wordings(case.phrasing, changed, new):
                found[old].append(Contrast(case.prompt, _asked(changed, phrasing), {old: new}))
    fitting = of_equal_length(host, (each for swaps in found.values() for each in swaps))
    by_finding = {old: [each for each in fitting if old in each.replaced] for old in found}
    return {old: drawn(rng, swaps, most) for old, swaps in by_finding.items() if swaps}


def whole_swaps(host: HostModel, case: TestCase, rng: random.Random, *, n_tries: int) -> list[Contrast]:
    """Prompts of a case with every finding changed at once, each in as many tokens as before.

    Args:
        host: Whose tokens must be as many.
        case: Told in words that vignettes use.
        rng: Chooses what takes the place of each finding.
        n_tries: Draws; those that do not fit are left out.
    """
    lengths = _phrase_lengths(host)
    tries = (_all_changed(case, rng, lengths) for _ in range(n_tries))
    return of_equal_length(host, [each for each in tries if each is not None])


def condition_swaps(host: HostModel, case: TestCase) -> list[Contrast]:
    """Prompts for the drug in which another condition stands for the patient's own, or a history that does not matter.

    The diagnosis is said before the question; only conditions under which another drug is right are taken.
    """
    assert case.case.exception is not None
    prompt = _treatment_prompt(case.case, case.phrasing)
    old, swaps = case.case.exception, []
    for new, changed in _other_histories(case.case):
        if treatment(case.case.diagnosis, changed.exception) == case.drug:
            continue
        for modifier in (0, 1) if changed.exception else (0,):
            wording = replace(case.phrasing, modifier=modifier)
            swaps.append(Contrast(prompt, _treatment_prompt(changed, wording), {old: new}))
    return of_equal_length(host, swaps)


def _wordings(phrasing: Phrasing, changed: Case, new: str) -> list[Phrasing]:
    """The same words, the new finding in each of its phrases; a measured value has one."""
    if new in changed.values:
        return [phrasing]
    return [phrasing.with_surface(new, phrase) for phrase in phrases(new, "seen")]


def _asked(case: Case, phrasing: Phrasing) -> str:
    return render(case, phrasing).text + QUESTIONS["diagnosis"][phrasing.questions["diagnosis"]]


def _treatment_prompt(case: Case, phrasing: Phrasing) -> str:
    builder = DocumentBuilder()
    write_vignette(builder, case, phrasing)
    ask(builder, case, phrasing, "diagnosis")
    return builder.text + QUESTIONS["treatment"][phrasing.questions["treatment"]]


def _other_histories(case: Case) -> Iterator[tuple[str, Case]]:
    for exception in EXCEPTIONS:
        is_possible = exception != "pregnancy" or (case.sex == "woman" and case.age != "old")
        if exception != case.exception and is_possible and not ruled_out(exception, case.denied):
            yield exception, replace(case, exception=exception)
    if case.neutral_history is None:
        for history in NEUTRAL_HISTORY:
            yield history, replace(case, exception=None, neutral_history=history)


def _phrase_lengths(host: HostModel) -> dict[str, int]:
    """Tokens of each phrase for a finding, after a space."""
    known = [phrase for name in FINDINGS for phrase in phrases(name, "seen")]
    encoded = host.tokenizer([f" {phrase}" for phrase in known], add_special_tokens=False)["input_ids"]
    return {phrase: len(ids) for phrase, ids in zip(known, encoded, strict=True)}


def _all_changed(test_case: TestCase, rng: random.Random, lengths: dict[str, int]) -> Contrast | None:
    """One draw; None where a finding has no substitute or the new ones do not go together."""
    case, phrasing = test_case.case, test_case.phrasing
    mentioned = {*case.present, *case.denied}
    new_of: dict[str, str] = {}
    for old in (*case.present, *case.denied):
        if old in case.values:
            new_of[old] = old
            continue
        n_tokens = lengths[phrasing.surfaces[old]]
        options = [
            (name, phrase)
            for name in FINDINGS
            if name not in mentioned and name not in new_of.values()
            for phrase in phrases(name, "seen")
            if lengths[phrase] == n_tokens
        ]
        if not options:
            return None
        new_of[old], phrase = rng.choice(options)
        phrasing = phrasing.with_surface(new_of[old], phrase)
    changed = _with_findings(case, rng, new_of)
    if contradictory(changed.present) or withheld(changed.present) or ruled_out(changed.exception, changed.denied):
        return None
    return Contrast(test_case.prompt, _asked(changed, phrasing), new_of)


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
