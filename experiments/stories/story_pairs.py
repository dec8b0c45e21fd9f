"""Pairs of stories' beginnings: a girl becomes a boy, so *she* becomes *he*; a cat becomes a dog, and is told of again.

The answers are those of the language, whatever a model says.
"""

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import permutations, product, zip_longest
from typing import Any

from experiments.clinical_reasoning.alignment import misalignment
from experiments.clinical_reasoning.vignette_pair import Kind, VignettePair
from sae.annotated_text import TextSpan

__all__ = ["StoryPairs"]

NAMES = {
    "girl": ("Lily", "Lucy", "Jane", "Molly", "Mia", "Anna", "Sara", "Amy", "Sue", "Emma", "Sally", "Kim"),
    "boy": ("Tim", "Tom", "Ben", "Jack", "Joe", "Billy", "Fred", "Max", "Sam", "Bob", "Timmy", "Jim", "Leo"),
}
PRONOUNS = {"girl": "she", "boy": "he"}
OF_A_CHILD = (
    "Once upon a time, there was a {adjective} {word}. One day,",
    "There was a {adjective} {word}. One day,",
    "The {adjective} {word} had a ball. One day,",
    "A {adjective} {word} was at the park. One day,",
    "There was a {word} with a {adjective} hat. One day,",
)
OF_A_NAME = (
    "{word} was {adjective}. One day,",
    "{word} had a {adjective} ball. One day,",
    "{word} liked to play with a {adjective} toy. One day,",
    "Once upon a time, {word} was at the {adjective} park. Then,",
    "{word} had a {adjective} hat. One day,",
)
THINGS = ("cat", "dog", "bird", "bear", "fish", "frog", "duck", "bunny", "ball", "car", "toy", "box", "tree")
OF_A_THING = (
    "Once upon a time, there was a {adjective} {word}. The",
    "There was a {adjective} {word}. The",
    "Lily had a {adjective} {word}. She loved her",
    "Tim saw a {adjective} {word}. The",
    "One day, Tim found a {adjective} {word}. The",
)
ADJECTIVES = ("little", "big", "happy", "sad", "red", "nice", "new", "old")


class StoryPairs:
    """Pairs of kind `finding`; no text is in two of them.

    Args:
        tokenizer: Of the model; words that differ in tokens make no pair.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer

    def pairs(self, kind: Kind, *, seed: int) -> Iterator[VignettePair]:
        """Every template in turn, until all pairs were given; the seed draws who meets whom."""
        if kind != "finding":
            return
        rng = random.Random(seed)
        by_template = [self._sound(rng.sample(pairs, len(pairs))) for pairs in map(list, _by_template())]
        for turn in zip_longest(*by_template):
            yield from (pair for pair in turn if pair is not None)

    def _sound(self, pairs: Iterable[VignettePair]) -> Iterator[VignettePair]:
        seen: set[str] = set()
        for pair in pairs:
            texts = {pair.prompt, pair.changed_prompt}
            if not texts & seen and misalignment(self._tokenizer, pair) is None:
                seen |= texts
                yield pair


def _by_template() -> Iterator[Iterator[VignettePair]]:
    children = [(child, child) for child in NAMES]
    names = [(child, name) for child, own in NAMES.items() for name in own]
    things = {thing: thing for thing in THINGS}
    for name, texts, words, concept, answers in (
        ("child", OF_A_CHILD, children, "child", PRONOUNS),
        ("name", OF_A_NAME, names, "child", PRONOUNS),
        ("thing", OF_A_THING, list(things.items()), "thing", things),
    ):
        for number, text in enumerate(texts):
            yield _swaps(f"{name}-{number}", text, words, concept, answers)


def _swaps(
    template: str, text: str, words: Sequence[tuple[str, str]], concept: str, answers: Mapping[str, str]
) -> Iterator[VignettePair]:
    """A template with every two words whose meanings ask for different answers, in either order."""
    for adjective, (own, other) in product(ADJECTIVES, permutations(words, 2)):
        if answers[own[0]] == answers[other[0]]:
            continue
        start = text.replace("{adjective}", adjective).index("{word}")
        prompt, changed_prompt = (text.format(adjective=adjective, word=word) for _, word in (own, other))
        changed_from, changed_to = (f"{concept}:{meaning}" for meaning, _ in (own, other))
        yield VignettePair(
            kind="finding",
            template=template,
            prompt=prompt,
            changed_prompt=changed_prompt,
            answer=answers[own[0]],
            changed_answer=answers[other[0]],
            changed_from=changed_from,
            changed_to=changed_to,
            spans=(TextSpan(start, start + len(own[1]), changed_from),),
            changed_spans=(TextSpan(start, start + len(other[1]), changed_to),),
            decisive=(changed_from,),
            question="next word",
        )
