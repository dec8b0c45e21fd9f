"""Held-out documents that training text holds too are found, and others are left alone."""

import random

from experiments.near_duplicates import Deduplicated, without_duplicates


def document(seed: int, n_words: int = 120) -> list[str]:
    generator = random.Random(seed)
    return [f"word{generator.randrange(5000)}" for _ in range(n_words)]


def text(words: list[str]) -> str:
    return " ".join(words)


HELD_OUT = [text(document(seed)) for seed in range(6)]


def test_different_documents_are_kept():
    training = [text(document(seed)) for seed in range(100, 140)]
    assert without_duplicates(HELD_OUT, training) == Deduplicated(tuple(range(6)), 0, 0)


def test_an_exact_copy_is_left_out_whatever_its_case_and_punctuation():
    copy = HELD_OUT[2].upper().replace(" ", ",  ")
    assert without_duplicates(HELD_OUT, [copy]) == Deduplicated((0, 1, 3, 4, 5), 1, 0)


def test_a_copy_with_a_few_words_changed_is_left_out():
    words = document(4)
    words[60] = "changed"
    assert without_duplicates(HELD_OUT, [text(words)]) == Deduplicated((0, 1, 2, 3, 5), 0, 1)


def test_a_document_of_which_half_is_new_is_kept():
    words = document(4)[:60] + document(999)[:60]
    assert without_duplicates(HELD_OUT, [text(words)]).kept == tuple(range(6))


def test_held_out_documents_count_once():
    words = document(0)
    words[5] = "changed"
    found = without_duplicates([*HELD_OUT, HELD_OUT[1], text(words)], [])
    assert found == Deduplicated(tuple(range(6)), 1, 1)


def test_a_document_that_is_found_twice_is_counted_once():
    assert without_duplicates(HELD_OUT, [HELD_OUT[0]] * 3).n_exact == 1


def test_short_documents_are_compared_whole():
    assert without_duplicates(["two words", "other words"], ["Two words!"]) == Deduplicated((1,), 1, 0)
