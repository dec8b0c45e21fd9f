"""Differences between texts, by hand."""

import pytest

from steering.demo.word_differences import changed_tokens


@pytest.mark.parametrize(
    ("before", "after", "wanted"),
    [
        ([" a", " b"], [" a", " b"], ("..", "..")),
        ([], [], ("", "")),
        ([], [" a"], ("", "x")),
        ([" stroke", "."], [" gout", "."], ("x.", "x.")),
        ([" pneu", "monia", "."], [" pneu", "mococcus", "."], ("xx.", "xx.")),
        ([" a", " b", " c"], [" a", " c"], (".x.", "..")),
        ([" fever"], ["fever"], (".", ".")),
    ],
)
def test_words_without_a_partner_are_marked_whole(before, after, wanted):
    found = tuple("".join("x" if changed else "." for changed in side) for side in changed_tokens(before, after))
    assert found == wanted


def test_both_sides_are_treated_alike():
    one, other = [" the", " drug", " is", " a"], [" a", " drug", " was"]
    assert sum(changed_tokens(one, other)[0]) - sum(changed_tokens(one, other)[1]) == len(one) - len(other)
    assert changed_tokens(one, one) == ([False] * 4, [False] * 4)
