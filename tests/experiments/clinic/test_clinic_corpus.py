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


def test_prompts_end_where_a_diagnosis_is_due():
    prompts = list(islice(clinic_corpus.answer_prompts("clinical", seed=3), 40))

    documents = [
        d for chunk in range(20) for d in document_chunk("clinical", chunk, split="validation", seed=1_000_003)
    ]
    texts = [document.text for document in documents if document.text.startswith(prompts[0])]
    answers = {point.answer for d in documents for point in d.answer_points if d.text[: point.prompt_end] == prompts[0]}
    assert len(texts) == 1
    assert {texts[0].removeprefix(prompts[0]).split()[0].rstrip(".")} == {answer.split()[0] for answer in answers}
    assert not any(prompt.endswith(" ") for prompt in prompts)
    assert prompts == list(islice(clinic_corpus.answer_prompts("clinical", seed=3), 40))
    assert prompts != list(islice(clinic_corpus.answer_prompts("clinical", seed=4), 40))


@pytest.mark.parametrize("split", ["train", "validation"])
def test_prompts_are_of_no_document_of_the_corpus(split):
    prompts = list(islice(clinic_corpus.answer_prompts("clinical"), 20))

    texts = islice(clinic_corpus("clinical", split=split), 400)

    assert not [text for text in texts if text.startswith(tuple(prompts))]


def test_broad_text_asks_for_no_diagnosis():
    assert clinic_corpus.answer_prompts("broad") is None
    with pytest.raises(ValueError, match="unknown clinic corpus 'notes'"):
        clinic_corpus.answer_prompts("notes")
