"""Two prompts of equal token length, and what one has in place of what the other has."""

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sae.host.host import HostModel

__all__ = ["Contrast", "drawn", "of_equal_length"]


@dataclass(frozen=True)
class Contrast:
    """A prompt, and the same with some concepts replaced.

    Attributes:
        prompt: Without a trailing space.
        changed_prompt: Of equal token length.
        replaced: Each concept that was replaced, by name, with the one in its place; the same where a measured value
            crossed its threshold.
    """

    prompt: str
    changed_prompt: str
    replaced: Mapping[str, str]


def of_equal_length(host: HostModel, contrasts: Iterable[Contrast]) -> list[Contrast]:
    """Those whose two prompts have as many tokens as each other."""
    listed = list(contrasts)
    if not listed:
        return []
    texts = [text for each in listed for text in (each.prompt, each.changed_prompt)]
    lengths = [len(ids) for ids in host.tokenizer(texts)["input_ids"]]
    return [each for i, each in enumerate(listed) if lengths[2 * i] == lengths[2 * i + 1]]


def drawn(rng: random.Random, items: Sequence[Any], most: int) -> list[Any]:
    """At most so many of them, without replacement, in their order."""
    if len(items) <= most:
        return list(items)
    return [items[i] for i in sorted(rng.sample(range(len(items)), most))]
