"""Vignettes say what the case says, mark it with spans, and keep the splits apart."""

import random
import re

import pytest

from experiments.clinic.cases import Case, sample_case
from experiments.clinic.document import DocumentBuilder
from experiments.clinic.knowledge import FINDINGS, decide
from experiments.clinic.phrasing import (
    DENIALS,
    FAMILIES,
    HISTORIES,
    MEASUREMENTS,
    QUESTIONS,
    STYLES,
    Phrasing,
    phrases,
    sample_phrasing,
    split_of,
)
from experiments.clinic.vignettes import ask, join, render, vignette_case, vignette_document, with_article

PLAIN = Phrasing(
    style=0,
    denial=0,
    history=0,
    questions=dict.fromkeys(QUESTIONS, 0),
    measurement=0,
    family=0,
    modifier=0,
    surfaces={name: finding.seen[-1] for name, finding in FINDINGS.items() if finding.seen},
)
CASE = Case(
    "pneumonia",
    present=("cough", "fever"),
    denied=("rash", "edema", "hypoxia"),
    values={"fever": 38.7, "hypoxia": 96.0},
    exception="penicillin_allergy",
    sex="man",
    age="old",
    setting="emergency department",
    neutral_history="smoking",
    family=("mother", "gout"),
)


def test_a_vignette_reads_as_a_person_would_write_it():
    assert render(CASE, PLAIN).text == (
        "An old man in the emergency department presents with coughing."
        " He denies exanthem and ankle swelling."
        " Measured: a temperature of 38.7 and an oxygen saturation of 96 percent."
        " His history includes smoking and penicillin allergy."
        " His mother had gout."
    )


def test_spans_cover_the_phrase_alone():
    document = render(CASE, PLAIN)
    assert [(document.text[span.start : span.end], span.concept) for span in document.spans] == [
        ("old", "demo:old"),
        ("man", "demo:man"),
        ("emergency department", "setting:emergency_department"),
        ("coughing", "pos:cough"),
        ("exanthem", "neg:rash"),
        ("ankle swelling", "neg:edema"),
        ("a temperature of 38.7", "pos:fever"),
        ("an oxygen saturation of 96 percent", "neg:hypoxia"),
        ("penicillin allergy", "mod:penicillin_allergy"),
        ("gout", "family:gout"),
    ]


def test_a_short_case_makes_a_short_text():
    assert render(Case("gout", ("fever", "edema"), ()), PLAIN).text == (
        "A young woman presents with pyrexia and ankle swelling."
    )


@pytest.mark.parametrize("style", range(len(STYLES)))
@pytest.mark.parametrize("denial", range(len(DENIALS)))
@pytest.mark.parametrize("history", range(len(HISTORIES)))
def test_every_wording_gives_whole_sentences(style, denial, history):
    phrasing = Phrasing(style, denial, history, PLAIN.questions, 0, 0, 0, PLAIN.surfaces)
    text = render(CASE, phrasing).text
    assert re.fullmatch(r"[A-Z][^{}]*\.", text)
    assert "  " not in text
    assert " ." not in text
    assert ".." not in text
    assert all(sentence[0].isupper() for sentence in text.split(". "))


def test_there_is_a_choice_of_wordings():
    assert len(STYLES) >= 6
    assert all(len(wordings) >= 5 for wordings in (DENIALS, HISTORIES, *QUESTIONS.values()))
    assert min(len(FAMILIES), len(MEASUREMENTS)) >= 3


def test_articles_and_enumerations():
    assert with_article("old man") == "an old man"
    assert with_article("young man") == "a young man"
    pieces = [("a", None), ("b", None), ("c", None)]
    assert "".join(text for text, _ in join(pieces)) == "a, b and c"
    assert "".join(text for text, _ in join(pieces[:2], "or")) == "a or b"
    assert "".join(text for text, _ in join(pieces, "")) == "a, b, c"
    assert join([]) == []


def test_questions_end_before_the_answer():
    builder = DocumentBuilder("Text.")
    ask(builder, CASE, PLAIN, "treatment")
    point = builder.answer_points[0]
    assert builder.text == "Text. Treatment: azithromycin."
    assert builder.text[: point.prompt_end] == "Text. Treatment:"


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_phrasings_belong_to_their_split(split):
    rng = random.Random(0)
    assert {split_of(sample_phrasing(rng, split)) for _ in range(200)} == {split}


def test_no_test_phrasing_occurs_in_training_but_each_fragment_does():
    rng = random.Random(0)
    combinations = {
        split: {sample_phrasing(rng, split).combination for _ in range(3000)} for split in ("train", "test")
    }
    assert not combinations["train"] & combinations["test"]
    in_training = [set(choices) for choices in zip(*combinations["train"], strict=True)]
    in_test = [set(choices) for choices in zip(*combinations["test"], strict=True)]
    assert all(test <= train for test, train in zip(in_test, in_training, strict=True))


def test_training_owns_four_fifths_of_the_phrasings():
    rng = random.Random(0)
    drawn = [
        Phrasing(
            rng.randrange(len(STYLES)),
            rng.randrange(len(DENIALS)),
            rng.randrange(len(HISTORIES)),
            {kind: rng.randrange(5) for kind in QUESTIONS},
            0,
            0,
            0,
            {},
        )
        for _ in range(3000)
    ]
    assert sum(split_of(phrasing) == "train" for phrasing in drawn) / 3000 == pytest.approx(0.8, abs=0.03)


def test_phrases_by_kind_of_synonym():
    assert phrases("fever", "seen") == ("fever", "pyrexia")
    assert phrases("fever", "unseen") == ("hyperthermia",)
    assert phrases("fever", "all") == ("fever", "pyrexia", "hyperthermia")
    assert phrases("thirst", "unseen") == ("thirst", "polydipsia")
    assert phrases("hypoxia", "all") == ()


def test_unknown_options_are_refused():
    rng = random.Random(0)
    with pytest.raises(ValueError, match="split must be one of train, validation, test, got 'dev'"):
        vignette_case(rng, split="dev")
    with pytest.raises(ValueError, match="synonyms must be one of seen, unseen, all, got 'rare'"):
        phrases("fever", "rare")


def test_the_diagnosis_is_always_asked_and_rarely_given_away():
    rng = random.Random(0)
    points = [point for _ in range(500) for point in vignette_document(rng).answer_points if point.kind == "diagnosis"]
    assert len(points) == 500
    assert 0 < sum(point.revealed for point in points) < 100


def test_a_diagnosis_after_its_treatment_is_given_away():
    rng = random.Random(1)
    for _ in range(500):
        points = vignette_document(rng).answer_points
        kinds = [point.kind for point in points]
        before = kinds[: kinds.index("diagnosis")]
        if {"treatment", "test"} & set(before):
            assert points[len(before)].revealed


@pytest.fixture(scope="module")
def drawn_cases():
    rng = random.Random(0)
    return [vignette_case(rng) for _ in range(50)]


def test_a_test_case_asks_for_the_diagnosis_first(drawn_cases):
    for test_case in drawn_cases:
        assert test_case.text == f"{test_case.prompt} {test_case.answer}."
        assert test_case.answer == decide(test_case.case.present, test_case.case.denied)
        assert not test_case.prompt.endswith(" ")
        assert split_of(test_case.phrasing) == "test"
        assert test_case.treatment_prompt.startswith(test_case.text)


def test_contrast_prompts_differ_only_in_the_stated_finding(drawn_cases):
    for test_case in drawn_cases:
        assert test_case.contrasts
        vignette = render(test_case.case, test_case.phrasing)
        for contrast in test_case.contrasts:
            assert contrast.answer != test_case.answer
            concepts = (f"pos:{contrast.changed_from}", f"neg:{contrast.changed_from}")
            [old] = [span for span in vignette.spans if span.concept in concepts]
            prefix, suffix = test_case.prompt[: old.start], test_case.prompt[old.end :]
            assert contrast.prompt.startswith(prefix)
            assert contrast.prompt.endswith(suffix)
            middle = contrast.prompt[len(prefix) : len(contrast.prompt) - len(suffix)]
            measurement = FINDINGS[contrast.changed_to].measurement
            if contrast.changed_from == contrast.changed_to:
                assert middle == measurement.phrase(contrast.case.values[contrast.changed_to])
            else:
                assert middle in FINDINGS[contrast.changed_to].seen


def test_unseen_synonyms_replace_every_phrase_they_can():
    rng = random.Random(0)
    for _ in range(50):
        test_case = vignette_case(rng, synonyms="unseen")
        for span in test_case.spans:
            finding = FINDINGS.get(span.concept[4:])
            if finding and finding.unseen and finding.name not in test_case.case.values:
                assert test_case.text[span.start : span.end] in finding.unseen


def test_rendering_is_a_pure_function():
    rng = random.Random(3)
    case, phrasing = sample_case(rng), sample_phrasing(rng, "train")
    assert render(case, phrasing) == render(case, phrasing)
