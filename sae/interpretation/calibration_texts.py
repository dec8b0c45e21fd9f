"""Sentences of the bundled corpus of which it is known what they mention, to ask judges about."""

import re
from collections import defaultdict
from dataclasses import dataclass
from itertools import islice

from sae.annotated_text import AnnotatedText
from sae.corpus_knowledge import known_texts

__all__ = ["MentionGroup", "Sentence", "mention_groups"]

CORPUS = "clinic:clinical"
SEED = 700_000
"""Of documents that no command reads by default."""
N_DOCUMENTS = 3000
N_GROUPS = 30
N_TOGETHER = 4
KINDS = ("finding", "dx", "rx", "mod", "setting", "test")
"""Kinds of concepts that are said to be mentioned, whatever is said of them."""
SENTENCE = re.compile(r"[^.]+(?:\.(?! )[^.]*)*\.?")


@dataclass(frozen=True)
class Sentence:
    """One sentence.

    Attributes:
        text: Its text.
        mentions: By name of a concept the characters that express it; kinds among `KINDS`.
        touched: Names of all concepts that it expresses or measures, of any kind.
    """

    text: str
    mentions: dict[str, tuple[int, int]]
    touched: frozenset[str]

    def touches(self, name: str) -> bool:
        """Whether it has anything to do with a concept."""
        return name in self.touched or name in self.text.casefold()


@dataclass(frozen=True)
class MentionGroup:
    """What is asked about one concept.

    Attributes:
        name: The concept in words.
        sentences: Different ones that mention it, `N_TOGETHER` of them.
        stranger: One that does not; the first sentence of another group.
        other: A concept that none of them mentions, the first of another group.
    """

    name: str
    sentences: tuple[Sentence, ...]
    stranger: Sentence
    other: str


def mention_groups() -> list[MentionGroup]:
    """`N_GROUPS` groups, always the same ones.

    Their first sentences and their concepts all stand in one right and in one wrong pair, so that neither the sentence
    nor the concept alone says what is right.

    Raises:
        ValueError: The corpus has too few different sentences.
    """
    by_name = _sentences_by_name()
    full = [(name, tuple(found)) for name, found in by_name.items() if len(found) == N_TOGETHER][:N_GROUPS]
    groups = next(filter(None, (_paired(full, shift) for shift in range(1, N_GROUPS))), None)
    if len(full) < N_GROUPS or groups is None:
        raise ValueError(f"{CORPUS} gives {len(full)} concepts to calibrate judges with, expected {N_GROUPS} at least")
    return groups


def _paired(full: list[tuple[str, tuple[Sentence, ...]]], shift: int) -> list[MentionGroup] | None:
    """Groups with the sentence of the one so many places on and the concept of the one so many before; None where any
    of these has to do with the other."""
    groups = [
        MentionGroup(name, sentences, full[(i + shift) % len(full)][1][0], full[i - shift][0])
        for i, (name, sentences) in enumerate(full)
    ]
    is_apart = not any(
        group.stranger.touches(group.name)
        or any(sentence.touches(group.other) for sentence in (*group.sentences, group.stranger))
        for group in groups
    )
    return groups if is_apart else None


def _sentences_by_name() -> dict[str, list[Sentence]]:
    """Up to `N_TOGETHER` a concept, in the order of their first mention; no sentence serves two of them."""
    documents = known_texts(CORPUS, seed=SEED)
    if documents is None:
        raise ValueError(f"{CORPUS} does not say what it mentions; install the project whole")
    by_name: dict[str, list[Sentence]] = defaultdict(list)
    taken: set[str] = set()
    for document in islice(documents, N_DOCUMENTS):
        for sentence in _sentences(document):
            scarcest = min(sentence.mentions, key=lambda name: len(by_name[name]), default=None)
            if scarcest is not None and sentence.text not in taken and len(by_name[scarcest]) < N_TOGETHER:
                taken.add(sentence.text)
                by_name[scarcest].append(sentence)
    return by_name


def _sentences(document: AnnotatedText) -> list[Sentence]:
    return [_sentence(document, match.start(), match.end()) for match in SENTENCE.finditer(document.text)]


def _sentence(document: AnnotatedText, start: int, end: int) -> Sentence:
    within = document.text[start:end]
    start += len(within) - len(within.lstrip())
    spans = [span for span in document.concepts if start <= span.start and span.end <= end]
    mentions = {
        _name(span.concept): (span.start - start, span.end - start)
        for span in reversed(spans)  # of several mentions the first one stays
        if span.concept.partition(":")[0] in KINDS
    }
    return Sentence(within.strip(), mentions, frozenset(_name(span.concept) for span in spans))


def _name(concept: str) -> str:
    return concept.partition(":")[2].replace("_", " ")
