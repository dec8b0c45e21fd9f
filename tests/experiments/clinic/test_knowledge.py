"""The facts of the synthetic clinic hold together, and the scoring rule does what it says."""

import re
from itertools import chain, combinations

import pytest

from experiments.clinic.knowledge import (
    DISEASES,
    DRUG_CLASSES,
    FINDINGS,
    PARENT_CATEGORY,
    WITHHELD_PAIRS,
    contradictory,
    decide,
    margin,
    rivals,
    score,
    treatment,
    withheld,
)

DRUGS = {drug for d in DISEASES.values() for drug in (d.drug, *d.exceptions.values())}


def test_the_world_has_the_size_it_claims():
    assert len(DISEASES) == 33
    assert len(FINDINGS) == 45
    assert len({disease.system for disease in DISEASES.values()}) >= 8


@pytest.mark.parametrize("disease", DISEASES.values(), ids=lambda disease: disease.name)
def test_every_disease_is_complete(disease):
    assert len(set(disease.signature)) == 5
    assert set(disease.signature) <= FINDINGS.keys()
    assert disease.category in PARENT_CATEGORY
    assert not contradictory(disease.signature)


def test_names_of_diseases_and_drugs_are_distinct_lowercase_words():
    assert not DISEASES.keys() & DRUGS
    assert all(re.fullmatch("[a-z]+", name) for name in chain(DISEASES, DRUGS))


def test_every_drug_has_a_class():
    assert DRUG_CLASSES.keys() == DRUGS


def test_every_finding_belongs_to_several_diseases():
    counts = [sum(finding in disease.signature for disease in DISEASES.values()) for finding in FINDINGS]
    assert min(counts) >= 2


@pytest.mark.parametrize("finding", FINDINGS)
def test_no_finding_decides_alone(finding):
    assert decide((finding,), ()) is None
    assert decide((), (finding,)) is None


def test_no_phrase_stands_for_two_findings():
    surface_forms = [form for finding in FINDINGS.values() for form in (*finding.seen, *finding.unseen)]
    assert len(surface_forms) == len(set(surface_forms))


def test_most_findings_have_an_unseen_synonym():
    assert sum(bool(finding.unseen) for finding in FINDINGS.values()) >= len(FINDINGS) / 2


def test_findings_have_two_to_four_seen_phrases_or_only_a_measurement():
    for finding in FINDINGS.values():
        assert 2 <= len(finding.seen) <= 4 or (not finding.seen and finding.measurement)


def test_the_title_of_a_finding_is_its_first_phrase():
    assert all(finding.seen[0] == finding.title for finding in FINDINGS.values() if finding.seen)


def test_at_least_four_diseases_have_a_finding_that_is_only_measured():
    measured = {name for name, finding in FINDINGS.items() if not finding.seen}
    assert sum(bool(measured & set(disease.signature)) for disease in DISEASES.values()) >= 4


def test_a_withheld_pair_belongs_to_one_disease_only():
    for name, pair in WITHHELD_PAIRS.items():
        assert [other for other, disease in DISEASES.items() if pair <= set(disease.signature)] == [name]


def test_score_counts_present_once_and_denied_one_and_a_half_times():
    # gout: joint_pain fever raised_creatinine weight_gain flank_pain
    assert score("gout", ("joint_pain", "fever", "cough"), ("flank_pain",)) == pytest.approx(0.5)
    assert score("gout", ("cough",), ("rash",)) == 0.0


def test_decide_takes_the_best_fitting_disease():
    assert decide(("thirst", "polyuria"), ()) == "diabetes"


def test_decide_leaves_a_tie_open():
    # angina and syncope belong to infarction and to cardiomyopathy alike
    assert decide(("angina", "syncope"), ()) is None


def test_a_denied_finding_breaks_a_tie():
    assert decide(("angina", "syncope"), ("pallor",)) == "cardiomyopathy"
    assert decide(("angina", "syncope"), ("edema",)) == "infarction"


def test_decide_knows_nothing_without_findings():
    assert decide((), ()) is None


def test_denials_alone_decide_nothing():
    assert decide((), ("fever", "cough")) is None


def test_margin_is_measured_against_the_best_other_disease():
    assert margin("diabetes", ("thirst", "polyuria"), ()) == 1.0
    assert margin("cardiomyopathy", ("angina", "edema"), ("pallor",)) == 1.0
    assert margin("gout", ("thirst", "polyuria"), ()) == -2.0


def test_treatment_minds_the_condition_of_the_patient():
    assert treatment("pneumonia", None) == "amoxicillin"
    assert treatment("pneumonia", "penicillin_allergy") == "azithromycin"
    assert treatment("pneumonia", "pregnancy") == "amoxicillin"


def test_withheld_recognises_a_pair_in_any_order():
    assert withheld(("cough", "pleuritic_pain", "chills"))
    assert not withheld(("cough", "chills"))


def test_nobody_gains_and_loses_weight():
    assert contradictory(("weight_gain", "fever", "weight_loss"))
    assert not contradictory(("weight_gain", "fever"))


def test_rivals_share_two_findings():
    assert rivals("cardiomyopathy") == ("infarction", "anemia")


@pytest.mark.parametrize(
    ("finding", "value", "is_present"),
    [("fever", 38.0, True), ("fever", 37.9, False), ("hypoxia", 89.0, True), ("hypoxia", 90.0, False)],
)
def test_the_threshold_decides(finding, value, is_present):
    measurement = FINDINGS[finding].measurement
    assert measurement.is_present(value) is is_present
    assert value in measurement.values(is_present)
    assert value not in measurement.values(not is_present)


def test_measurements_are_told_with_their_unit():
    assert FINDINGS["raised_creatinine"].measurement.phrase(3.1) == "a creatinine of 3.1 mg/dl"
    assert FINDINGS["fever"].measurement.phrase(38.0) == "a temperature of 38.0"
    assert FINDINGS["tachycardia"].measurement.phrase(112.0) == "a heart rate of 112"


def test_the_integer_part_of_a_value_decides():
    for finding in FINDINGS.values():
        if finding.measurement:
            sides = [{int(value) for value in finding.measurement.values(side)} for side in (True, False)]
            assert not sides[0] & sides[1]


def test_diseases_are_told_apart_by_their_signatures():
    signatures = [set(disease.signature) for disease in DISEASES.values()]
    assert max(len(a & b) for a, b in combinations(signatures, 2)) <= 3
