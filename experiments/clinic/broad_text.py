"""Everyday text without a word of medicine: the counterpart of the clinical texts, alike in length and form.

Sentences come from `broad_topics.toml`. Which sentences meet in a text decides the split that owns it, so
that validation and test texts are combinations of sentences that training never shows.
"""

import random
import re
import tomllib
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from experiments.clinic.document import Document, DocumentBuilder

__all__ = ["broad_documents", "broad_topics"]

SPLIT_SHARES: Mapping[str, range] = {"train": range(0, 8), "validation": range(8, 9), "test": range(9, 10)}
"""Tenths of all combinations of sentences."""
MIDDLES = (0, 1, 2, 2, 2, 2)
"""How many sentences stand between the first and the last: drawn uniformly."""
QUESTION_SHARE = 0.3

SLOT = re.compile(r"\{(\w+?)(2?)\}")


@dataclass(frozen=True)
class Topic:
    """Sentences of one topic; what the slots mean stands at the top of `broad_topics.toml`."""

    name: str
    openings: tuple[str, ...]
    middles: tuple[str, ...]
    closings: tuple[str, ...]
    questions: tuple[tuple[str, str], ...]
    """Pairs (question, slot): asked of texts that filled the slot, whose word is the answer."""
    words: Mapping[str, tuple[str, ...]]
    """Key words by slot; they carry the span ``topic:NAME``."""

    @property
    def concept(self) -> str:
        """The name under which key words are recorded."""
        return f"topic:{self.name}"


def broad_documents(n: int, seed: int, split: str = "train") -> list[Document]:
    """Everyday texts of two to four sentences, some with a question and its answer.

    Args:
        n: How many.
        seed: The same seed and split give the same texts.
        split: ``train``, ``validation`` or ``test``: disjoint combinations of sentences.

    Returns:
        Documents of kind ``broad`` with spans ``topic:NAME`` over the key words of their topic.

    Raises:
        ValueError: If `split` is none of the three.
    """
    if split not in SPLIT_SHARES:
        raise ValueError(f"split must be one of {', '.join(SPLIT_SHARES)}, got {split!r}")
    rng = random.Random(f"broad {split} {seed}")
    return [_document(rng, split) for _ in range(n)]


@cache
def broad_topics() -> tuple[Topic, ...]:
    """The topics of `broad_topics.toml`."""
    return tuple(
        Topic(
            name=topic["name"],
            openings=tuple(topic["openings"]),
            middles=tuple(topic["middles"]),
            closings=tuple(topic["closings"]),
            questions=tuple((question, slot) for question, slot in topic["questions"]),
            words=_word_lists(topic["words"]),
        )
        for topic in _tables()["topic"]
    )


@cache
def _shared_words() -> Mapping[str, tuple[str, ...]]:
    """Words that any topic may use, by slot; they carry no span."""
    return _word_lists(_tables()["shared"])


@cache
def _tables() -> dict[str, Any]:
    """The file as it stands."""
    return tomllib.loads(files("experiments.clinic").joinpath("broad_topics.toml").read_text("ascii"))


def _word_lists(lines: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """The comma-separated lists of the file."""
    return {slot: tuple(line.split(", ")) for slot, line in lines.items()}


def _document(rng: random.Random, split: str) -> Document:
    """One text: its sentences, then perhaps a question about a word in them."""
    topic, sentences = _combination(rng, split)
    filler = _SlotFiller(topic, rng)
    for number, sentence in enumerate(sentences):
        filler.write(sentence if number == 0 else f" {sentence}")
    askable = [(question, slot) for question, slot in topic.questions if slot in filler.chosen]
    if askable and rng.random() < QUESTION_SHARE:
        question, slot = rng.choice(askable)
        filler.builder.add(f" Question: {question} Answer:")
        filler.builder.answer("fact", filler.chosen[slot], topic.concept).add(".")
    return filler.builder.build("broad")


def _combination(rng: random.Random, split: str) -> tuple[Topic, tuple[str, ...]]:
    """A topic and its sentences, drawn until the combination belongs to `split`."""
    while True:
        topic = rng.choice(broad_topics())
        middles = rng.sample(topic.middles, rng.choice(MIDDLES))
        sentences = (rng.choice(topic.openings), *middles, rng.choice(topic.closings))
        if zlib.crc32(" ".join(sentences).encode("ascii")) % 10 in SPLIT_SHARES[split]:
            return topic, sentences


class _SlotFiller:
    """Writes sentences into a document and remembers the word of each slot."""

    def __init__(self, topic: Topic, rng: random.Random) -> None:
        self.topic = topic
        self.rng = rng
        self.builder = DocumentBuilder()
        self.chosen: dict[str, str] = {}

    def write(self, sentence: str) -> None:
        """Append `sentence` with its slots filled."""
        for literal, slot, second in _pieces(sentence):
            word = self._word(slot, second) if slot else ""
            article_before_vowel = literal.endswith((" a ", "A ")) and word[:1] in tuple("aeiou")
            self.builder.add(f"{literal[:-1]}n " if article_before_vowel else literal)
            if word:
                self.builder.add(word, self.topic.concept if slot in self.topic.words else None)

    def _word(self, slot: str, second: str) -> str:
        """The word that this text has for ``slot`` or ``slot2``, drawn when it is first needed."""
        key = slot + second
        if key not in self.chosen:
            words = self.topic.words.get(slot) or _shared_words()[slot]
            taken = {self.chosen.get(slot), self.chosen.get(f"{slot}2")}
            self.chosen[key] = self.rng.choice([word for word in words if word not in taken])
        return self.chosen[key]


@cache
def _pieces(sentence: str) -> tuple[tuple[str, str, str], ...]:
    """A sentence as (text, slot, ``2`` or nothing) triples; the last one has no slot."""
    texts = SLOT.split(sentence)
    return tuple(zip(texts[0::3], [*texts[1::3], ""], [*texts[2::3], ""], strict=True))
