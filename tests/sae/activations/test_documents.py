"""Reading a corpus: how far, what is left out, and how documents are grouped."""

import pytest
import torch
from tiny_models import tiny_llama

from sae.activations.documents import Document, DocumentReader, batches_of_similar_length, cut_to

TEXTS = ["w1 w2 w3", " ", "w4", "w5 w6", "w4", "w7 w8 w9"]


@pytest.fixture(scope="module")
def host():
    return tiny_llama()


def reader(host, texts=TEXTS, context_tokens=64):
    return DocumentReader(host, texts, context_tokens=context_tokens)


def words(documents):
    return [(document.ids[1:] - 4).tolist() for document in documents]


def test_documents_are_read_until_there_are_enough_tokens(host):
    reading = reader(host)

    assert words(reading.take(4)) == [[1, 2, 3], [4]]
    assert reading.n_read == 3
    assert [document.index for document in reading.take(100)] == [2, 3, 4]


def test_a_held_out_text_never_comes_again(host):
    reading = reader(host)
    reading.take(4, hold_out=True)

    assert words(reading.take(100)) == [[5, 6], [7, 8, 9]]


def test_a_long_document_is_cut_to_the_context(host):
    assert [document.n_tokens for document in reader(host, context_tokens=3).take(100)] == [2, 1, 2, 1, 2]


def test_catching_up_is_reading_without_tokenising(host):
    first, second = reader(host), reader(host)
    first.take(4, hold_out=True)
    n_held_out = first.n_read
    first.take(1)

    second.catch_up(first.n_read, n_held_out, first.digest)

    assert second.digest == first.digest
    rest, rest_of_second = first.take(100), second.take(100)
    assert words(rest_of_second) == words(rest) == [[7, 8, 9]]
    assert [document.index for document in rest_of_second] == [document.index for document in rest]


@pytest.mark.parametrize("texts", [["w1 w2 w3", "w5", "w5 w6"], ["w1 w2 w3"]])
def test_another_corpus_cannot_be_caught_up_with(host, texts):
    first = reader(host)
    first.take(5)

    with pytest.raises(ValueError, match="the first 4 texts of the corpus are not those"):
        reader(host, texts).catch_up(first.n_read, 0, first.digest)


def document(index, n_tokens):
    return Document(index, torch.arange(n_tokens + 1), n_tokens)


def test_cutting_shortens_the_last_document():
    kept = cut_to([document(0, 3), document(1, 5), document(2, 1)], 5)

    assert [(d.index, d.n_tokens, len(d.ids)) for d in kept] == [(0, 3, 4), (1, 2, 3)]
    assert cut_to([document(0, 3)], 0) == []


DOCUMENTS = [document(index, n_tokens) for index, n_tokens in enumerate([9, 2, 4, 2, 3])]


@pytest.mark.parametrize(
    ("limits", "batches"),
    [
        ({}, [[1, 3, 4, 2, 0]]),
        ({"max_documents": 2}, [[1, 3], [4, 2], [0]]),
        # with BOS their lengths are 3 3 4 5 10: three padded to 4 make 12 tokens
        ({"max_tokens": 12}, [[1, 3, 4], [2], [0]]),
        ({"max_tokens": 1}, [[1], [3], [4], [2], [0]]),
    ],
)
def test_batches_go_from_short_to_long(limits, batches):
    found = batches_of_similar_length(DOCUMENTS, **limits)

    assert [[d.index for d in batch] for batch in found] == batches
