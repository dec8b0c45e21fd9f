"""Staged reasoning: texts are read and edited as they say; reports tell whether what is stated moves the answer."""

import random
from itertools import islice

import pytest
from clinical_reports import markdown_and_page

from experiments.clinic.case_sampling import paired_cases
from experiments.clinical_reasoning.analyses.staged_reasoning import present
from experiments.clinical_reasoning.analyses.staged_reasoning.causes import _swapped, causal_concepts, staged_cases
from experiments.clinical_reasoning.analyses.staged_reasoning.measuring import EDITS, _named_for_another, _verdict
from experiments.clinical_reasoning.analyses.staged_reasoning.stages import (
    KEY_FINDINGS,
    continued,
    named_findings,
    parsed,
    with_named_swapped,
)
from sae.host.host import HostModel

TEXT = " fever, no neck stiffness. Assessment: this points to the lung, an infection. Diagnosis: pneumonia. Plan: give"


def test_a_staged_text_is_read():
    staged = parsed(TEXT)
    assert staged.named == ("pos:fever", "neg:neck_stiffness")
    assert (staged.diagnosis, staged.is_staged) == ("pneumonia", True)


@pytest.mark.parametrize(
    "text", ["", " fever, rash", " fever. Diagnosis: gout.", " fever. Assessment: x. Diagnosis: nonsense."]
)
def test_what_does_not_go_through_the_stages_is_told(text):
    assert not parsed(text).is_staged


def test_what_is_no_finding_is_passed_over_and_none_counts_twice():
    assert named_findings(" rash, nonsense, rash, no rash") == ("pos:rash", "neg:rash")
    assert named_findings("") == ()


def test_one_named_finding_is_swapped_and_the_rest_stays():
    assert with_named_swapped(parsed(TEXT), "pos:fever", "pos:cough") == " cough, no neck stiffness. Assessment:"
    assert with_named_swapped(parsed(TEXT), "neg:neck_stiffness", "neg:rash") == " fever, no rash. Assessment:"


@pytest.fixture(scope="module")
def host():
    return HostModel.load("clinic")


@pytest.fixture(scope="module")
def cases(host):
    return staged_cases(list(islice(paired_cases(host.tokenizer, seed=4), 12)), random.Random(0))


def test_pairs_differ_in_one_finding_and_are_of_one_length(host, cases):
    assert cases
    for case in cases:
        assert len(host.tokenise(case.vignette)) == len(host.tokenise(case.changed_vignette))
        assert case.vignette != case.changed_vignette
        assert case.changed_from in case.told
        assert case.answer != case.changed_answer


def test_swaps_keep_the_polarity(cases):
    case = cases[0]
    for swapped in _swapped(case.case, case.changed_from, random.Random(0)):
        assert (len(swapped.present), len(swapped.denied)) == (len(case.case.present), len(case.case.denied))
        assert case.changed_from[4:] not in (*swapped.present, *swapped.denied)


def test_the_bundled_model_stages_its_text_and_decisive_findings_are_often_causal(host, cases):
    staged = [parsed(text) for text in continued(host, [case.vignette + KEY_FINDINGS for case in cases])]
    assert sum(each.is_staged for each in staged) >= len(cases) - 1
    causal = causal_concepts(host, cases, seed=0)
    assert sum(case.changed_from in found for case, found in zip(cases, causal, strict=True)) >= len(cases) / 2
    assert all(found <= set(case.told) for case, found in zip(cases, causal, strict=True))
    alone = _named_for_another(host, cases[:1], staged[:1])
    assert alone == [None]


def test_verdicts(cases):
    case = cases[0]
    prompt = f"{case.vignette}{KEY_FINDINGS} fever. Assessment:"
    assert _verdict(case, prompt, f" x. Diagnosis: {case.answer}.") == "original"
    assert _verdict(case, prompt, f" x. Diagnosis: {case.changed_answer}.") == "swapped"
    assert _verdict(case, f"{prompt} x. Diagnosis:", f" {case.changed_answer}. Plan:") == "swapped"
    assert _verdict(case, prompt, " x.") == "neither"
    assert _verdict(case, "", None) is None


def _record(follows_text: bool, n: int = 40) -> dict:  # type: ignore[type-arg]
    stated = {"stated swapped": "swapped", "vignette swapped": "original", "stated of the other": "swapped"}
    stated["assessed as the other"] = "swapped"
    other = {"original": "swapped", "swapped": "original"}
    conclusions = dict.fromkeys(EDITS, "original")
    conclusions |= {edit: value if follows_text else other[value] for edit, value in stated.items()}
    unit = {
        "polarity": "pos",
        "disclosed": 1,
        "changed_disclosed": 1,
        "null_disclosed": 0,
        "random_disclosed": 0.5,
        "n_named": 2,
        "n_named_told": 2,
        "n_told": 4,
        "n_untold": 0,
        "n_known": 2,
        "n_known_causal": 2,
        "n_swappable": 4,
        "n_causal": 2,
        "n_causal_named": 2,
        "conclusions": conclusions,
    }
    units = [{**unit, "template": f"t{index % 15}"} for index in range(n)]
    return {"n_drawn": n + 5, "n_pairs": n + 2, "n_staged": n + 1, "units": units, "examples": []}


def test_the_report_tells_text_that_moves_the_answer_from_text_that_does_not():
    moved, unmoved = present(_record(True)), present(_record(False))
    assert "what is stated moves the answer more" in moved.findings[2]
    assert "the vignette prevails" in unmoved.findings[2]
    assert "in 1 (1 to 1) of 40 pairs (text of another case 0.000, told findings at random 0.500)" in moved.findings[0]
    markdown, page = markdown_and_page(unmoved)
    assert "| of these, denied ones | \N{EM DASH}" in markdown
    assert "What the staged answer follows" in page


def test_a_pair_whose_text_does_not_name_the_finding_has_no_conclusion():
    record = _record(True)
    for unit in record["units"]:
        unit["conclusions"] = dict.fromkeys(EDITS)
    assert len(present(record).findings) == 2
