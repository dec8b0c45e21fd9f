"""Words that stand between the same two words, and what of a text is no frame."""

import pytest

from experiments.clinical_reasoning.word_frames import WordFrames, framed_words, is_content_word


def test_a_framed_word_says_where_it_stands():
    text = "The old heart of a man, cold hands."
    [old, heart] = framed_words(text)
    assert (old.word, old.frame, text[old.start : old.end]) == ("old", ("the", "heart"), "old")
    assert (heart.word, heart.frame) == ("heart", ("old", "of"))


@pytest.mark.parametrize(
    "text", ["", "heart", "the heart", "the heart, of", "the\nheart of", "the  heart of", "in the of"]
)
def test_words_at_the_edge_of_a_sentence_and_function_words_have_no_frame(text):
    assert list(framed_words(text)) == []


@pytest.mark.parametrize(("word", "is_content"), [("fever", True), ("the", False), ("The", False), ("ox", False)])
def test_what_says_something(word, is_content):
    assert is_content_word(word) == is_content


def test_substitutes_are_of_the_frame_the_commonest_first():
    frames = WordFrames(["the lung of", "the heart of", "The heart of", "the liver is", "the Heart of", "the HEART of"])
    [lung] = framed_words("the lung of")
    assert frames.substitutes(lung, 3) == ["heart"]
    [name] = framed_words("the Lung of")
    assert frames.substitutes(name, 3) == ["Heart"]
    [other] = framed_words("a lung of")
    assert frames.substitutes(other, 3) == []
    assert frames.substitutes(lung, 0) == []
