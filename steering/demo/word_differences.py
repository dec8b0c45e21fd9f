"""Which words of two texts differ, token by token."""

from collections.abc import Sequence
from difflib import SequenceMatcher
from itertools import pairwise

__all__ = ["changed_tokens"]


def changed_tokens(before: Sequence[str], after: Sequence[str]) -> tuple[list[bool], list[bool]]:
    """Tokens whose word has no partner in the other text, in order.

    Words are compared whole, however many tokens they have; what is no letter and no digit is a word by itself, so
    that a full stop stays when the word before it goes.

    Args:
        before: Tokens as they add to a text, leading spaces included.
        after: Those of the other text.

    Returns:
        For each token of either text whether it is part of a difference.

    >>> changed_tokens([" a", " cold", "."], [" a", " feb", "rile", " cold", "."])
    ([False, False, False], [False, True, True, False, False])
    """
    words_before, words_after = _words(before), _words(after)
    marks = [True] * len(before), [True] * len(after)
    matcher = SequenceMatcher(None, _texts(before, words_before), _texts(after, words_after), autojunk=False)
    for first, second, length in matcher.get_matching_blocks():
        for mark, words, start in ((marks[0], words_before, first), (marks[1], words_after, second)):
            for word in words[start : start + length]:
                mark[word.start : word.stop] = [False] * len(word)
    return marks


def _words(tokens: Sequence[str]) -> list[range]:
    """The tokens of each word."""
    starts = [i for i, token in enumerate(tokens) if i == 0 or not _goes_on(tokens[i - 1], token)]
    return [range(start, end) for start, end in pairwise([*starts, len(tokens)])]


def _goes_on(previous: str, token: str) -> bool:
    return previous[-1:].isalnum() and token[:1].isalnum()


def _texts(tokens: Sequence[str], words: Sequence[range]) -> list[str]:
    return ["".join(tokens[i] for i in word).strip() for word in words]
