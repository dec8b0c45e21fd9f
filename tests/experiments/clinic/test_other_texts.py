"""The mix of clinical texts: deterministic, honest about its splits, and marked with what it says."""

import random
import subprocess
import sys
import zlib
from collections import Counter
from pathlib import Path

import pytest

from experiments.clinic.knowledge import DISEASES, FINDINGS, PARENT_CATEGORY, withheld
from experiments.clinic.other_texts import (
    choice_document,
    documents,
    glossary_document,
    qa_document,
    reasoning_document,
)

N_DOCUMENTS = 3000
REPOSITORY = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def training():
    return documents(N_DOCUMENTS, 0, "train")


def named_findings(document, polarity):
    return {span.concept[4:] for span in document.spans if span.concept.startswith(f"{polarity}:")}


def test_the_same_arguments_give_the_same_documents():
    assert documents(50, 7, "test") == documents(50, 7, "test")


def test_seed_and_split_matter():
    first = [documents(20, seed, split)[0].text for seed in (0, 1) for split in ("train", "test")]
    assert len(set(first)) == 4


def test_another_process_with_another_hash_seed_gives_the_same_documents():
    program = (
        "import zlib; from experiments.clinic.other_texts import documents;"
        "print(zlib.crc32(repr(documents(200, 3, 'train')).encode()))"
    )
    result = subprocess.run(
        [sys.executable, "-c", program],
        cwd=REPOSITORY,
        env={"PYTHONHASHSEED": "99"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(result.stdout) == zlib.crc32(repr(documents(200, 3, "train")).encode())


def test_the_mix_has_the_stated_shares(training):
    counts = Counter(document.kind for document in training)
    shares = {kind: count / N_DOCUMENTS for kind, count in counts.items()}
    expected = {"vignette": 0.62, "reasoning": 0.10, "qa": 0.10, "choice": 0.08, "glossary": 0.10}
    assert shares == pytest.approx(expected, abs=0.03)


def test_texts_are_short_and_plain(training):
    lengths = [len(document.text.split()) for document in training]
    assert sum(lengths) / N_DOCUMENTS <= 45
    assert max(lengths) <= 90
    assert all(document.text.isascii() for document in training)
    assert not any("  " in document.text or "{" in document.text for document in training)


def test_answers_stand_where_the_answer_points_say(training):
    for document in training:
        for point in document.answer_points:
            assert document.text[point.prompt_end :].startswith(f" {point.answer}")


def test_spans_agree_with_the_text(training):
    """A span holds a phrase of its finding, its title or its measurement; other spans hold their name."""
    for document in training:
        for span in document.spans:
            text, (prefix, name) = document.text[span.start : span.end], span.concept.split(":")
            if prefix in ("pos", "neg"):
                finding = FINDINGS[name]
                quantity = finding.measurement.quantity if finding.measurement else None
                is_known = text in (*finding.seen, *finding.unseen, finding.title)
                assert is_known or text.lower().startswith(str(quantity))
            elif prefix in ("dx", "rx", "test", "sys", "family", "option"):
                assert text.lower() == name


def test_unseen_synonyms_occur_in_the_glossary_only(training):
    unseen = [form for finding in FINDINGS.values() for form in finding.unseen]
    for document in training:
        if document.kind != "glossary":
            assert not any(form in document.text for form in unseen)


def test_the_glossary_names_every_phrase_of_every_finding():
    rng = random.Random(0)
    text = " ".join(glossary_document(rng).text for _ in range(3000))
    forms = [form for finding in FINDINGS.values() for form in (*finding.seen, *finding.unseen, finding.title)]
    assert [form for form in forms if form not in text] == []


def test_withheld_pairs_are_never_present_together_in_a_case(training):
    for document in training:
        if document.kind in ("vignette", "reasoning", "choice"):
            assert not withheld(named_findings(document, "pos"))


def test_reasoning_restates_only_what_the_vignette_says():
    rng = random.Random(0)
    for _ in range(100):
        document = reasoning_document(rng)
        start = document.text.index(" Assessment:")
        assert all(span.end < start for span in document.spans if span.concept[:4] in ("pos:", "neg:"))
        assert not named_findings(document, "pos") & named_findings(document, "neg")
        assert [point.kind for point in document.answer_points] == ["system", "diagnosis", "treatment"]


def test_questions_about_facts_are_answered_correctly():
    rng = random.Random(0)
    answers = {}
    for _ in range(2000):
        document = qa_document(rng)
        start = 0
        for point in document.answer_points:
            question = document.text[start : point.prompt_end].replace("Question", "Q").replace("Answer", "A")
            assert answers.setdefault(question.strip(" ."), point.answer) == point.answer
            start = point.prompt_end + 1 + len(point.answer)
    assert answers["Q: Which drug treats gout? A:"] == "indomethacin"
    assert answers["Q: Where is gout located? A:"] == "joint"


def test_the_marked_option_is_the_diagnosis():
    rng = random.Random(0)
    for _ in range(100):
        document = choice_document(rng)
        choice, diagnosis = document.answer_points
        assert document.text.count(f"{choice.answer} {diagnosis.answer}") == 2
        assert diagnosis.revealed
        options = [span.concept for span in document.spans if span.concept.startswith("option:")]
        assert len(options) == len(set(options)) >= 2


def test_the_glossary_tells_the_kind_of_each_disease():
    rng = random.Random(0)
    text = " ".join(glossary_document(rng).text for _ in range(3000))
    assert "Mononucleosis is a viral infection." in text
    assert "Aspirin is an antiplatelet." in text
    assert "A temperature of 38.0 or more is fever." in text
    assert all(disease.mechanism in text for disease in DISEASES.values())
    assert all(parent in text for parent in PARENT_CATEGORY.values())
