"""Everyday texts are reproducible, readable, free of medicine, and new in validation and test."""

import re
import zlib
from collections import Counter

import pytest

from experiments.clinic.broad_text import broad_documents, broad_topics
from experiments.clinic.knowledge import DISEASES, DRUG_CLASSES, FINDINGS

N_DOCUMENTS = 800


@pytest.fixture(scope="module")
def documents():
    return broad_documents(N_DOCUMENTS, seed=0)


def words(document):
    return re.findall(r"[A-Za-z]+", document.text)


def test_the_same_seed_gives_the_same_texts_also_in_another_process():
    texts = "\n".join(document.text for document in broad_documents(20, seed=7, split="test"))
    assert zlib.crc32(texts.encode("ascii")) == 3448537367


def test_seed_and_split_change_the_texts(documents):
    assert broad_documents(5, seed=1) != documents[:5]
    assert broad_documents(5, seed=0, split="test") != documents[:5]


def test_a_longer_draw_begins_with_the_shorter_one(documents):
    assert broad_documents(10, seed=0) == documents[:10]


def test_every_topic_occurs_about_equally_often(documents):
    topics = Counter(document.spans[0].concept for document in documents if document.spans)
    assert topics.keys() == {topic.concept for topic in broad_topics()}
    assert len(topics) >= 12
    assert min(topics.values()) > 0.5 * max(topics.values())


def test_spans_cover_key_words_of_one_topic(documents):
    key_words = {topic.concept: {word for words in topic.words.values() for word in words} for topic in broad_topics()}
    for document in documents:
        assert len({span.concept for span in document.spans}) <= 1
        for span in document.spans:
            assert document.text[span.start : span.end] in key_words[span.concept]


def test_answers_repeat_a_word_of_the_text(documents):
    asked = [document for document in documents if document.answer_points]
    assert 0.15 < len(asked) / len(documents) < 0.35
    for document in asked:
        (point,) = document.answer_points
        prompt = document.text[: point.prompt_end]
        assert prompt.endswith("Answer:")
        assert document.text[point.prompt_end :] == f" {point.answer}."
        assert re.search(rf"\b{point.answer}\b", prompt)


def test_texts_are_short_plain_and_varied(documents):
    lengths = [len(words(document)) for document in documents]
    assert 30 < sum(lengths) / len(lengths) < 45
    assert max(lengths) < 80
    assert all(document.text.isascii() for document in documents)
    assert len({word.lower() for document in documents for word in words(document)}) >= 600
    assert not any("{" in document.text or "  " in document.text for document in documents)


def test_articles_agree(documents):
    text = " ".join(document.text for document in documents)
    assert not re.search(r"\b[Aa] [aeio]", text)
    assert " an omelette" in text


def test_no_word_of_medicine(documents):
    phrases = {phrase for finding in FINDINGS.values() for phrase in finding.seen + finding.unseen}
    medical = {*DISEASES, *DRUG_CLASSES, *phrases, "patient", "doctor", "disease", "hospital", "medicine"}
    text = " ".join(word.lower() for document in documents for word in ("", *words(document), ""))
    assert [name for name in medical if f" {name} " in text] == []


def test_splits_share_no_combination_of_sentences():
    def combinations(split):
        return {skeleton(document) for document in broad_documents(N_DOCUMENTS, seed=0, split=split)}

    train, validation, test = map(combinations, ("train", "validation", "test"))
    assert not train & validation
    assert not train & test
    assert not validation & test


def skeleton(document):
    """What stays of the sentences of a text without its key words."""
    text = document.text
    for span in reversed(document.spans):
        text = text[: span.start] + "_" + text[span.end :]
    return text.split(" Question:")[0]


def test_an_unknown_split_is_an_error():
    with pytest.raises(ValueError, match="split must be one of train, validation, test, got 'dev'"):
        broad_documents(1, seed=0, split="dev")
