"""Cases have the diagnosis that their findings decide, and the mix of difficulties that is asked for."""

import random
from dataclasses import replace

import pytest

from experiments.clinic.cases import Case, contrast_cases, decisive, sample_case
from experiments.clinic.knowledge import DISEASES, FINDINGS, WITHHELD_PAIRS, contradictory, decide, withheld

N_CASES = 2000
TIED_BUT_FOR_A_DENIAL = Case("cardiomyopathy", ("angina", "syncope"), ("pallor",))


@pytest.fixture(scope="module")
def cases():
    rng = random.Random(0)
    return [sample_case(rng) for _ in range(N_CASES)]


def share(cases, claim):
    return sum(map(claim, cases)) / len(cases)


def test_the_findings_decide_the_diagnosis(cases):
    assert all(decide(case.present, case.denied) == case.diagnosis for case in cases)


def test_every_disease_occurs(cases):
    assert {case.diagnosis for case in cases} == DISEASES.keys()


def test_negation_decides_often(cases):
    assert share(cases, lambda case: decide(case.present, ()) is None) >= 0.2


def test_numbers_decide_sometimes(cases):
    assert share(cases, lambda case: case.numeric_decides) >= 0.1


def test_distractors_are_common(cases):
    assert share(cases, lambda case: case.has_distractor) >= 0.4


def test_most_cases_have_a_decisive_finding(cases):
    assert share(cases, lambda case: bool(decisive(case))) >= 0.85


def test_the_drug_often_depends_on_the_patient(cases):
    assert share(cases, lambda case: case.exception_decides) >= 0.2


def test_withheld_pairs_are_not_seen(cases):
    assert not any(withheld(case.present) for case in cases)


def test_withheld_cases_contain_the_pair_of_their_diagnosis():
    rng = random.Random(0)
    for _ in range(200):
        case = sample_case(rng, combinations="withheld")
        assert WITHHELD_PAIRS[case.diagnosis] <= set(case.present)


def test_all_combinations_include_both():
    rng = random.Random(0)
    kinds = {withheld(sample_case(rng, combinations="all").present) for _ in range(200)}
    assert kinds == {True, False}


def test_values_lie_on_the_side_of_their_polarity(cases):
    for case in cases:
        for finding, value in case.values.items():
            assert FINDINGS[finding].measurement.is_present(value) is (finding in case.present)


def test_patients_are_consistent(cases):
    for case in cases:
        assert not set(case.present) & set(case.denied)
        assert not contradictory(case.present)
        assert case.exception != "pregnancy" or (case.sex == "woman" and case.age != "old")
        assert case.exception != "renal_failure" or "raised_creatinine" not in case.denied
        assert case.family is None or case.family[1] != case.diagnosis


def test_a_finding_without_words_is_always_measured(cases):
    for case in cases:
        assert all(FINDINGS[f].seen for f in (*case.present, *case.denied) if f not in case.values)


def test_the_same_seed_gives_the_same_cases():
    assert sample_case(random.Random(5)) == sample_case(random.Random(5))


def test_unknown_combinations_are_refused():
    with pytest.raises(ValueError, match="combinations must be one of seen, withheld, all, got 'new'"):
        sample_case(random.Random(0), combinations="new")


def test_decisive_names_what_cannot_be_missed():
    # Without angina stroke fits as well, without the denial of pallor infarction does; rash changes nothing.
    case = replace(TIED_BUT_FOR_A_DENIAL, denied=("pallor", "rash"))
    assert decisive(case) == ("angina", "pallor")


def test_decisive_names_present_findings():
    assert decisive(Case("diabetes", ("thirst", "polyuria"), ())) == ("thirst", "polyuria")


def test_negation_decides_where_a_tie_remains_without_it():
    assert TIED_BUT_FOR_A_DENIAL.negation_decides
    assert not Case("diabetes", ("thirst", "polyuria"), ("rash",)).negation_decides


def test_numeric_decides_where_a_measured_finding_is_decisive():
    case = Case("pancreatitis", ("jaundice", "hyperglycemia"), (), {"hyperglycemia": 15.0})
    assert case.numeric_decides
    more = ("vomiting", "abdominal_pain", "tachycardia")
    assert not replace(case, present=(*case.present, *more)).numeric_decides


def test_contrast_of_a_denied_finding():
    contrasts = [c for c in contrast_cases(TIED_BUT_FOR_A_DENIAL) if c.changed_from == "pallor"]
    assert {(c.changed_to, c.case.diagnosis) for c in contrasts} == {
        ("edema", "infarction"),
        ("palpitations", "infarction"),
    }
    assert all(c.case.present == ("angina", "syncope") for c in contrasts)


def test_contrast_of_a_measured_value():
    values = {"hypoxia": 84.0, "fever": 36.9}
    case = Case("embolism", ("pleuritic_pain", "hypoxia"), ("fever",), values)
    crossed = [c for c in contrast_cases(case) if c.changed_from == "fever"]
    assert {c.case.diagnosis for c in crossed} == {"pneumonia"}
    for contrast in crossed:
        assert contrast.changed_to == "fever"
        assert contrast.case.values["hypoxia"] == 84.0
        assert contrast.case.values["fever"] >= 38.0
        assert set(contrast.case.present) == {*case.present, "fever"}
        assert contrast.case.denied == ()


def changed_fields(case, other):
    return {name for name in case.__dataclass_fields__ if getattr(case, name) != getattr(other, name)}


def test_contrasts_change_one_finding_and_the_diagnosis(cases):
    for case in cases[:100]:
        for contrast in contrast_cases(case):
            other, old, new = contrast.case, contrast.changed_from, contrast.changed_to
            assert other.diagnosis == decide(other.present, other.denied) != case.diagnosis
            if old == new:
                assert changed_fields(case, other) == {"diagnosis", "present", "denied", "values"}
                assert {k for k in case.values if case.values[k] != other.values[k]} == {old}
            else:
                polarity = "present" if old in case.present else "denied"
                assert changed_fields(case, other) == {"diagnosis", polarity}
                swapped = tuple(new if finding == old else finding for finding in getattr(case, polarity))
                assert getattr(other, polarity) == swapped


def test_most_cases_have_a_contrast(cases):
    assert share(cases[:100], lambda case: bool(contrast_cases(case))) >= 0.85
