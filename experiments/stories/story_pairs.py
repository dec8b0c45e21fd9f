"""Pairs of stories' beginnings: a girl becomes a boy, so *she* becomes *he*; a cat becomes a dog, and is told of again.

The answers are those of the language, whatever a model says.
"""

import random
from collections.abc import Iterable, Iterator
from itertools import permutations, zip_longest
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
    "Once upon a time, there was a little {}. One day,",
    "Once upon a time, there was a {} who liked to play. One day,",
    "There was a {}. One day,",
    "A little {} had a big red ball. One day,",
    "The {} was very happy. One day,",
    "There was a {} with a big hat. One day,",
)
OF_A_NAME = (
    "{} was sad. One day,",
    "{} was very happy. One day,",
    "{} had a red ball. One day,",
    "{} liked to play. One day,",
    "Once upon a time, {} was at the park. Then,",
    "{} had a big hat. One day,",
)
THINGS = ("cat", "dog", "bird", "bear", "fish", "frog", "duck", "bunny", "ball", "car", "toy", "box", "tree")
OF_A_THING = (
    "Once upon a time, there was a {}. The",
    "There was a little {}. The",
    "Lily had a big {}. She loved her",
    "Tim saw a red {}. The",
    "One day, Tim found a {}. The",
)


class StoryPairs:
    """Pairs of kind `finding`, as many of each template as there are.

    Args:
        tokenizer: Of the model; words that differ in tokens make no pair.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer

    def pairs(self, kind: Kind, *, seed: int) -> Iterator[VignettePair]:
        """Every template in turn, until all pairs were given; the seed orders the pairs of each."""
        if kind != "finding":
            return
        rng = random.Random(seed)
        by_template = [self._aligned(rng.sample(pairs, len(pairs))) for pairs in map(list, self._by_template())]
        for turn in zip_longest(*by_template):
            yield from (pair for pair in turn if pair is not None)

    def _aligned(self, pairs: Iterable[VignettePair]) -> Iterator[VignettePair]:
        return (pair for pair in pairs if misalignment(self._tokenizer, pair) is None)

    def _by_template(self) -> Iterator[Iterator[VignettePair]]:
        for number, text in enumerate(OF_A_CHILD):
            words = [(child, child) for child in NAMES]
            yield _swaps(f"child-{number}", text, words, "child", PRONOUNS)
        for number, text in enumerate(OF_A_NAME):
            words = [(child, name) for child, names in NAMES.items() for name in names]
            yield _swaps(f"name-{number}", text, words, "child", PRONOUNS)
        for number, text in enumerate(OF_A_THING):
            things = {thing: thing for thing in THINGS}
            yield _swaps(f"thing-{number}", text, list(things.items()), "thing", things)


def _swaps(
    template: str, text: str, words: list[tuple[str, str]], concept: str, answers: dict[str, str]
) -> Iterator[VignettePair]:
    """A template with every two words whose meanings ask for different answers, in either order."""
    start = text.index("{}")
    for (meaning, word), (changed_meaning, changed_word) in permutations(words, 2):
        if answers[meaning] == answers[changed_meaning]:
            continue
        changed_from, changed_to = f"{concept}:{meaning}", f"{concept}:{changed_meaning}"
        yield VignettePair(
            kind="finding",
            template=template,
            prompt=text.format(word),
            changed_prompt=text.format(changed_word),
            answer=answers[meaning],
            changed_answer=answers[changed_meaning],
            changed_from=changed_from,
            changed_to=changed_to,
            spans=(TextSpan(start, start + len(word), changed_from),),
            changed_spans=(TextSpan(start, start + len(changed_word), changed_to),),
            decisive=(changed_from,),
            question="next word",
        )
