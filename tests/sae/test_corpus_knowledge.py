"""Corpora that know what they say, and those that do not."""

from itertools import islice

import pytest

from sae.corpora import read_corpus
from sae.corpus_knowledge import concept_parents, corpus_documents, known_texts, negation_flips


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "texts.txt"
    path.write_text("one\n\ntwo\n", encoding="utf-8")
    return str(path)


@pytest.mark.parametrize(
    "spec", ["clinic:clinical", "clinic:clinical:split=test", "0.7*clinic:clinical+0.3*clinic:broad"]
)
def test_known_texts_are_those_of_the_corpus(spec):
    known = list(islice(known_texts(spec, seed=2), 40))

    assert [each.text for each in known] == list(islice(read_corpus(spec, seed=2), 40))
    assert sum(bool(each.concepts) for each in known) > 20
    assert all(0 <= mention.start < mention.end <= len(each.text) for each in known for mention in each.concepts)


def test_a_file_knows_nothing_and_neither_does_a_mixture_with_one(file):
    assert known_texts(file) is None
    assert known_texts(f"0.5*clinic:clinical+0.5*{file}") is None
    assert negation_flips(file) is None
    assert negation_flips("clinic:broad") is None


def test_of_a_mixture_the_parts_that_can_deny_are_flipped(file):
    alone, mixed = (
        list(islice(negation_flips(spec, seed=1), 5)) for spec in ("clinic:clinical", f"0.5*clinic:clinical+0.5*{file}")
    )
    assert alone == mixed


@pytest.mark.parametrize("kind", ["labelled_documents", "unseen_documents", "classified_documents"])
def test_the_clinic_knows_what_it_says(kind):
    documents = corpus_documents("clinic:clinical", 5, seed=3, kind=kind)
    assert len(documents) == 5
    assert documents == corpus_documents("clinic:clinical", 5, seed=3, kind=kind)
    assert all(document.targets for document in documents)
    for document in documents:
        for span in document.concepts:
            assert document.text[span.start : span.end].strip()


def test_the_clinic_does_not_name_what_it_asks_for():
    for document in corpus_documents("clinic:clinical", 20, kind="classified_documents"):
        diagnosis = next(name for name in document.classes if name.startswith("diagnosis:"))
        assert diagnosis.partition(":")[2] not in document.text.lower()


def test_a_corpus_that_knows_nothing(file):
    assert corpus_documents("clinic:broad", 5) == corpus_documents(file, 5) == []
    assert concept_parents("clinic:broad") == {}
    assert concept_parents("clinic:clinical")["dx:mononucleosis"] == ("category:viral infection",)
    with pytest.raises(ValueError, match="has 2 parts, expected one"):
        corpus_documents("clinic:broad+clinic:clinical", 5)
