"""Which words can stand for which: those that texts have in the same frame, between the same two words.

Words of one frame are mostly of one part of speech, and both texts read as text does (Mintz 2003, Cognition 90,
"Frequent frames as a cue for grammatical categories in child directed speech").
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice, pairwise

from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

__all__ = ["FramedWord", "WordFrames", "framed_words", "is_content_word"]

WORD = re.compile(r"[^\W\d_]+")
LEAST_LETTERS = 3


@dataclass(frozen=True)
class FramedWord:
    """A content word between two words.

    Attributes:
        word: As it is written.
        start: Its first character in the text.
        end: The one after its last.
        frame: The words before and after it, in small letters.
    """

    word: str
    start: int
    end: int
    frame: tuple[str, str]


def is_content_word(word: str) -> bool:
    """Whether a word says something by itself: three letters at least, and none of English's function words."""
    return len(word) >= LEAST_LETTERS and word.lower() not in ENGLISH_STOP_WORDS


def framed_words(text: str) -> Iterator[FramedWord]:
    """The content words of a text with a word on either side, nothing but one space between."""
    words = list(WORD.finditer(text))
    spaced = [text[first.end() : second.start()] == " " for first, second in pairwise(words)]
    for before, word, after, *gaps in zip(words, words[1:], words[2:], spaced, spaced[1:], strict=False):
        if all(gaps) and is_content_word(word[0]):
            yield FramedWord(word[0], word.start(), word.end(), (before[0].lower(), after[0].lower()))


class WordFrames:
    """The frames of some texts.

    Args:
        texts: Read once.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        self._words: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
        for text in texts:
            for framed in framed_words(text):
                self._words[framed.frame][framed.word] += 1

    def substitutes(self, framed: FramedWord, n: int) -> list[str]:
        """At most `n` other words of the same frame, the commonest first, with capitals as it has."""
        found = self._words.get(framed.frame, Counter())
        others = (word for word, _ in found.most_common() if _is_other(word, framed.word))
        return list(islice(others, n))


def _is_other(word: str, than: str) -> bool:
    return word.lower() != than.lower() and (word.islower(), word.istitle()) == (than.islower(), than.istitle())
