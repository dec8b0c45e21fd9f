"""The corpora are endless, reproducible, and complain about unknown names."""

from importlib.metadata import entry_points
from itertools import islice

import pytest

from experiments.clinic import corpus
from experiments.clinic.broad_text import broad_documents
from experiments.clinic.corpus import broad_texts, clinic_corpus, clinical_texts, document_chunk


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    monkeypatch.setattr(corpus, "CHUNK_DOCUMENTS", 10)


@pytest.mark.parametrize("texts", [clinical_texts, broad_texts])
def test_a_stream_runs_on_past_a_chunk_without_repeating_it(texts):
    stream = texts(seed=3)
    first, second, third = (list(islice(stream, 10)) for _ in range(3))
    assert first != second
    assert second != third


@pytest.mark.parametrize("name", ["clinical", "broad"])
def test_the_same_seed_gives_the_same_stream(name):
    def head(**options):
        return list(islice(clinic_corpus(name, **options), 25))

    assert head(seed=1) == head(seed=1)
    assert head(seed=1) != head(seed=2)
    assert head(seed=1) != head(seed=1, split="test")


def test_streams_consist_of_chunks():
    texts = [document.text for chunk in (0, 1) for document in document_chunk("broad", chunk, seed=5)]
    assert list(islice(broad_texts(seed=5), 20)) == texts
    assert document_chunk("broad", 0, seed=0) == broad_documents(10, seed=0)


def test_the_two_corpora_differ():
    assert "Answer" in " ".join(islice(clinic_corpus("clinical"), 30))
    assert set(islice(clinic_corpus("clinical"), 30)).isdisjoint(islice(clinic_corpus("broad"), 30))


def test_unknown_names_are_errors_at_once():
    with pytest.raises(ValueError, match="unknown clinic corpus 'notes', expected one of clinical, broad"):
        clinic_corpus("notes")
    with pytest.raises(ValueError, match="split must be one of train, validation, test, got 'dev'"):
        clinic_corpus("broad", split="dev")


def test_an_installed_project_registers_the_corpus():
    registered = entry_points(group="sae.corpora", name="clinic")
    if not registered:
        pytest.skip("the project is not installed, so its entry points are unknown")
    assert next(iter(registered)).load() is clinic_corpus
