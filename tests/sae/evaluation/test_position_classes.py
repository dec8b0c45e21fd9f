"""Which tokens are evaluated, and of which class each is."""

import pytest
import torch
from evaluation_cases import texts

from sae.annotated_text import AnnotatedText, AnswerPlace, TextSpan
from sae.evaluation.position_classes import CLASSES, EXCLUDED, read_evaluation_documents


def classes_of(document):
    return ["-" if index == EXCLUDED else CLASSES[index] for index in document.classes.tolist()]


def read(host, *found, n_tokens=1000, context_tokens=64):
    return read_evaluation_documents(host, found, n_tokens=n_tokens, context_tokens=context_tokens)


def test_concepts_and_answers_are_found_and_bos_is_left_out(tiny_host):
    [document] = read(tiny_host, AnnotatedText("w1 w2 w3 w4", (TextSpan(3, 5, "two"),), (AnswerPlace(8, "w4"),)))

    assert classes_of(document) == ["-", "other", "concept", "answer", "other"]
    assert document.ids.tolist() == tiny_host.tokenise("w1 w2 w3 w4").tolist()


def test_a_token_that_asks_and_says_a_concept_counts_as_asking(tiny_host):
    [document] = read(tiny_host, AnnotatedText("w1 w2 w3", (TextSpan(3, 5, "two"),), (AnswerPlace(5, "w3"),)))

    assert classes_of(document) == ["-", "other", "answer", "other"]


def test_special_tokens_within_a_text_are_left_out(tiny_host):
    [document] = read(tiny_host, AnnotatedText("w1 <eos> w2 nonsense"))

    assert classes_of(document) == ["-", "other", "-", "other", "other"]


def test_a_text_counts_once_and_blank_ones_not_at_all(tiny_host):
    found = read(tiny_host, AnnotatedText("w1 w2"), AnnotatedText("  "), AnnotatedText("w1 w2"), AnnotatedText("w3"))

    assert [document.n_tokens for document in found] == [2, 1]


def test_a_stream_without_new_texts_ends(tiny_host):
    endless = iter(lambda: AnnotatedText("w1 w2"), None)

    assert len(read_evaluation_documents(tiny_host, endless, n_tokens=100, context_tokens=64)) == 1


def test_exactly_as_many_tokens_as_wanted(tiny_host):
    found = read(tiny_host, *texts(), n_tokens=50)

    assert sum(document.n_tokens for document in found) == 50
    assert all(len(document.ids) == len(document.classes) for document in found)


def test_long_documents_are_cut(tiny_host):
    [document] = read(tiny_host, AnnotatedText("w1 w2 w3 w4"), context_tokens=3)

    assert len(document.ids) == 3


def test_no_text_is_refused(tiny_host):
    with pytest.raises(ValueError, match="gave no token to evaluate, expected at least one document with text"):
        read(tiny_host, AnnotatedText(" "))


def test_classes_are_of_whole_numbers(tiny_host):
    assert read(tiny_host, *texts(2))[0].classes.dtype == torch.long
