"""What causes the bundled model's answers, held against one prompt at a time."""

import random
from dataclasses import replace
from functools import cache

import pytest
import torch

from circuits.workbench import open_workbench
from experiments.clinic.cases import contrast_cases, sample_case, single_changes
from experiments.clinic.knowledge import FINDINGS
from experiments.clinical_reasoning.analyses.ground_truth import measuring
from experiments.clinical_reasoning.analyses.ground_truth.bases import DOMAIN, MEAN_DIFFERENCES, NEURONS, open_bases
from experiments.clinical_reasoning.analyses.ground_truth.causes import Mention, diagnosed_cases, treated_cases
from experiments.clinical_reasoning.clinic_pairs import ClinicPairs
from experiments.clinical_reasoning.subject import Subject
from sae.bundle import find_bundle
from sae.host.host import HostModel

BUNDLE = find_bundle("clinic")
needs_bundle = pytest.mark.skipif(BUNDLE is None, reason="the bundled model is not in this checkout")
N = 6


@cache
def host():
    return HostModel.load("clinic")


@cache
def diagnosed():
    return diagnosed_cases(host(), N, seed=3)


def answer(prompt):
    return int(host().forward(host().batch([host().tokenise(prompt)]), logits_to_keep=1).logits[0, -1].argmax())


def subject():
    return Subject("clinic", open_workbench(host()), ClinicPairs(host().tokenizer), None, True)


def test_a_cause_is_what_most_swaps_turn():
    mention = Mention("fever", True, False, True, 4, 2)
    assert mention.is_cause
    assert not replace(mention, n_flips=1).is_cause
    assert not replace(mention, n_swaps=0, n_flips=0).is_cause


def test_single_changes_change_one_finding_and_contrasts_are_among_them():
    rng = random.Random(0)
    for case in (sample_case(rng) for _ in range(20)):
        changed = {(each.present, each.denied, tuple(each.values.items())) for each, _, _ in single_changes(case)}
        for each, old, new in single_changes(case):
            lost = {*case.present, *case.denied} - {*each.present, *each.denied}
            assert lost == (set() if old == new else {old})
        for contrast in contrast_cases(case):
            other = contrast.case
            assert (other.present, other.denied, tuple(other.values.items())) in changed


@needs_bundle
def test_contrasts_turn_the_answer_by_one_finding():
    cases, n_wrong = diagnosed()
    assert len(cases) + n_wrong == N
    assert any(case.contrasts for case in cases)
    for case in cases:
        assert [next(iter(each.replaced)) for each in case.contrasts] == list(case.causes)
        assert {*case.causes, *case.bystanders} == {mention.name for mention in case.mentions} <= set(FINDINGS)
        for contrast in case.contrasts:
            rows = [host().tokenise(text) for text in (contrast.prompt, contrast.changed_prompt)]
            assert len(rows[0]) == len(rows[1])
            assert not torch.equal(*rows)
            assert answer(contrast.prompt) != answer(contrast.changed_prompt)
        if case.whole is not None:
            assert set(case.whole.replaced) >= {mention.name for mention in case.mentions}
            assert answer(case.whole.prompt) != answer(case.whole.changed_prompt)


@needs_bundle
def test_the_same_seed_gives_the_same_cases_and_another_others():
    again, _ = diagnosed_cases(host(), N, seed=3)
    assert again == diagnosed()[0]
    others, _ = diagnosed_cases(host(), N, seed=4)
    assert others != again


@needs_bundle
def test_conditions_turn_the_drug():
    cases, n_wrong = treated_cases(host(), 4, seed=0)
    assert len(cases) + n_wrong == 4
    for contrast in (each for case in cases for each in case.contrasts):
        assert answer(contrast.prompt) != answer(contrast.changed_prompt)
        assert len(host().tokenise(contrast.prompt)) == len(host().tokenise(contrast.changed_prompt))


@needs_bundle
def test_a_model_of_no_known_world_is_refused():
    with pytest.raises(ValueError, match="lives in no world whose truth is known"):
        measuring.measure(replace(subject(), is_clinic=False), size=1, seed=0)


@pytest.mark.slow
@needs_bundle
def test_measured_on_the_bundle(monkeypatch):
    """The whole of it, small: fewer documents for names, and slow methods on one case."""
    monkeypatch.setattr(measuring, "open_bases", lambda given: open_bases(given, n_naming=300, n_direction=300))
    monkeypatch.setattr(measuring, "SLOW", {"exact": 1, "mask": 1})
    record = measuring.measure(subject(), size=4, seed=0)
    assert set(record["bases"]) == {DOMAIN, NEURONS, MEAN_DIFFERENCES}
    recalls = [each for each in record["recalls"] if each["question"] == "cause"]
    assert {each["method"] for each in recalls} == {*measuring.FAST, "exact", "mask"}
    for each in record["recalls"]:
        for found, most in zip(each["found"], each["differing"], strict=True):
            assert found == sorted(found), "larger circuits name no less"
            assert found[-1] <= most + 1e-9
    mentions = [mention for case in record["cases"] for mention in case["mentions"]]
    assert all(mention["n_flips"] <= mention["n_swaps"] for mention in mentions)
