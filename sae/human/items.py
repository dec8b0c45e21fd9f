"""The questions that raters answer, and the key that says what each of them is.

Four kinds: find the `intruder` among five contexts, write a `label`, `rate` clarity and clinical meaning from 1 to 5,
and `match` an explanation to one of four sets of contexts. What an item is of, and its answer, stand in the key alone.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from sae.human.arms import N_CONTEXTS, RatedFeature
from sae.inspection.reports import Context

__all__ = ["CHOICES", "KINDS", "SHUFFLED", "Item", "KeyEntry", "build_items", "repeated", "with_gold_checks"]

KINDS = ("intruder", "label", "rate", "match")
CHOICES = {"intruder": 5, "match": 4}
"""Options of the kinds that have a right answer."""
SHUFFLED = "shuffled explanation"
"""The arm of explanations that belong to another feature."""
SHARE = 0.1


@dataclass(frozen=True)
class KeyEntry:
    """What an item is.

    Attributes:
        kind: One of `KINDS`.
        arm: Where it is from; `SHUFFLED` for explanations of other features.
        feature: The feature.
        pair: Equal for features of equal density in different arms.
        density: The feature's.
        answer: Index of the right option; None where there is none.
        score: The feature's automated score, if there is one.
        repeat_of: Id of the item that it repeats.
        is_gold: Whether it only checks that the rater pays attention.
    """

    kind: str
    arm: str
    feature: int
    pair: int
    density: float
    answer: int | None = None
    score: float | None = None
    repeat_of: str | None = None
    is_gold: bool = False


@dataclass(frozen=True)
class Item:
    """A question as the page has it, and its entry in the key.

    Attributes:
        id: Opaque.
        shown: What the page is given: the kind, contexts, and an explanation where there is one.
        key: What the key keeps.
    """

    id: str
    shown: dict[str, Any]
    key: KeyEntry

    def on_page(self) -> dict[str, Any]:
        """What the page is given."""
        return {"id": self.id, **self.shown}

    def in_key(self) -> dict[str, Any]:
        """What the key keeps."""
        return asdict(self.key)


def build_items(features: Sequence[RatedFeature], rng: np.random.Generator) -> list[Item]:
    """Every kind of item of every feature, and for each a match whose explanation is another feature's.

    An item is left out where no contexts of other features serve as wrong options.
    """
    found: list[Item] = []
    for feature in features:
        others = [other for other in features if other.arm is feature.arm and other is not feature]
        makers = (_intruder(feature, others, rng), _label(feature), _rate(feature), _match(feature, others, rng))
        found += [Item(_new_id(rng), shown, key) for made in makers if made is not None for shown, key in [made]]
        shuffled = _shuffled(feature, others, rng)
        found += [] if shuffled is None else [Item(_new_id(rng), *shuffled)]
    return found


def repeated(items: Sequence[Item], rng: np.random.Generator) -> list[Item]:
    """One in ten of the items once more, under another id."""
    n = max(1, round(SHARE * len(items)))
    chosen = rng.choice(len(items), n, replace=False).tolist()
    return [
        Item(_new_id(rng), items[index].shown, replace(items[index].key, repeat_of=items[index].id)) for index in chosen
    ]


def with_gold_checks(items: Sequence[Item], rng: np.random.Generator) -> list[Item]:
    """Match items whose explanation quotes the right set: one for every ten items, and at least one."""
    matches = [item for item in items if item.key.kind == "match"]
    n = max(1, round(SHARE * len(items)))
    return [_gold(matches[index], rng) for index in rng.integers(0, len(matches), n).tolist()] if matches else []


def _new_id(rng: np.random.Generator) -> str:
    return bytes(rng.integers(0, 256, 5, dtype=np.uint8)).hex()


def _entry(feature: RatedFeature, kind: str, answer: int | None = None, arm: str | None = None) -> KeyEntry:
    return KeyEntry(
        kind=kind,
        arm=arm or feature.arm.name,
        feature=feature.feature,
        pair=feature.pair,
        density=feature.density,
        answer=answer,
        score=feature.arm.scores.get(feature.feature),
    )


def _shown(context: Context, *, marked: bool) -> dict[str, Any]:
    """A context for the page, with shares of its largest activation where those may be seen."""
    shares = [round(value / max(context.activations), 3) for value in context.activations] if marked else None
    first, *rest = context.tokens
    return {"tokens": [first.lstrip(" "), *rest], "shares": shares}


def _set(feature: RatedFeature, first: int = 0) -> list[dict[str, Any]]:
    """Four contexts of a feature, from the `first` strongest on."""
    chosen = feature.contexts[first : first + N_CONTEXTS]
    return [_shown(context, marked=True) for context in chosen]


def _intruder(
    feature: RatedFeature, others: Sequence[RatedFeature], rng: np.random.Generator
) -> tuple[dict[str, Any], KeyEntry] | None:
    """Four contexts of the feature and one of a document on which it is never active; nothing is marked."""
    strange = [context for other in others for context in other.contexts if context.document not in feature.documents]
    if not strange:
        return None
    contexts = [_shown(context, marked=False) for context in feature.contexts[:N_CONTEXTS]]
    answer = int(rng.integers(CHOICES["intruder"]))
    contexts.insert(answer, _shown(strange[int(rng.integers(len(strange)))], marked=False))
    return {"kind": "intruder", "contexts": contexts}, _entry(feature, "intruder", answer)


def _label(feature: RatedFeature) -> tuple[dict[str, Any], KeyEntry]:
    return {"kind": "label", "contexts": _set(feature)}, _entry(feature, "label")


def _rate(feature: RatedFeature) -> tuple[dict[str, Any], KeyEntry]:
    return {"kind": "rate", "contexts": _set(feature)}, _entry(feature, "rate")


def _match(
    feature: RatedFeature, others: Sequence[RatedFeature], rng: np.random.Generator
) -> tuple[dict[str, Any], KeyEntry] | None:
    """The explanation of a feature and four sets, one of them its own."""
    wrong = [other for other in others if other.explanation != feature.explanation]
    n = CHOICES["match"]
    if len(wrong) < n - 1:
        return None
    chosen = [wrong[index] for index in rng.choice(len(wrong), n - 1, replace=False)]
    answer = int(rng.integers(n))
    sets = [_set(other) for other in chosen]
    sets.insert(answer, _set(feature))
    return {"kind": "match", "explanation": feature.explanation, "sets": sets}, _entry(feature, "match", answer)


def _shuffled(
    feature: RatedFeature, others: Sequence[RatedFeature], rng: np.random.Generator
) -> tuple[dict[str, Any], KeyEntry] | None:
    """A match whose explanation is of a feature that none of the sets is of."""
    made = _match(feature, others, rng)
    strange = [other.explanation for other in others if other.explanation != feature.explanation]
    if made is None or feature.arm.is_null:
        return None
    shown, key = made
    in_view = [_peak_words(each) for each in shown["sets"]]
    unseen = [text for text in strange if not any(text in words for words in in_view)] or strange
    explanation = unseen[int(rng.integers(len(unseen)))]
    return {**shown, "explanation": explanation}, replace(key, arm=SHUFFLED)


def _peak_words(contexts: Sequence[dict[str, Any]]) -> str:
    return " ".join(token for context in contexts for token in context["tokens"])


def _gold(item: Item, rng: np.random.Generator) -> Item:
    answer = int(rng.integers(CHOICES["match"]))
    quoted = "".join(item.shown["sets"][answer][0]["tokens"]).strip()
    shown = {**item.shown, "explanation": f"the set whose first text reads: {quoted}"}
    return Item(_new_id(rng), shown, replace(item.key, answer=answer, is_gold=True, repeat_of=None))
