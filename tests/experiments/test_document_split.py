"""Which documents are held out."""

from experiments.document_split import HELD_OUT_SHARE, held_out_texts, is_held_out, training_texts

TEXTS = [f"document number {number} says something" for number in range(4000)]


def test_about_one_document_in_twenty_is_held_out():
    share = sum(map(is_held_out, TEXTS)) / len(TEXTS)
    assert abs(share - HELD_OUT_SHARE) < 4 * (HELD_OUT_SHARE / len(TEXTS)) ** 0.5


def test_training_and_held_out_texts_do_not_meet_and_leave_nothing_out():
    held_out = held_out_texts(TEXTS, len(TEXTS))
    assert sorted([*training_texts(TEXTS), *held_out]) == sorted(TEXTS)


def test_case_and_white_space_do_not_move_a_document():
    for text in TEXTS[:200]:
        assert is_held_out(f"  {text.upper()}\n") == is_held_out(text)


def test_the_same_text_is_held_out_once_and_blank_ones_never():
    held_out = next(text for text in TEXTS if is_held_out(text))
    assert held_out_texts([held_out, " ", held_out], 5) == [held_out]
    assert list(training_texts(["  ", "\n"])) == []


def test_an_endless_corpus_is_read_only_as_far_as_needed():
    def endless():
        number = 0
        while True:
            yield f"text {number}"
            number += 1

    assert len(held_out_texts(endless(), 3)) == 3
