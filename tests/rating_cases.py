"""A made-up rating kit, and raters who answer it as they were told to."""

import hashlib
import json

import numpy as np
from tiny_models import random_sae

from sae.human.answers import Answers, Key
from sae.human.arms import Arm, RatedFeature
from sae.human.exporting import Kit
from sae.human.items import KeyEntry, build_items, repeated, with_gold_checks
from sae.inspection.reports import Context

GOOD, BAD = "arm good", "arm bad"


def made_up_context(arm: str, feature: int, number: int, word: str) -> Context:
    """Four tokens; the third is the feature's."""
    tokens = (f"{arm} text", f" {number}", f" {word}{feature}", " end")
    return Context(1000 * feature + number, tokens, (0.0, 0.5, 2.0, 0.0), 2)


def made_up_kit(n_features: int = 20, *, word: str = "word", seed: int = 0) -> Kit:
    """Two arms and a null of as many features, with scores; contexts say which feature they are of."""
    arms = [
        Arm(
            name,
            random_sae(8, 8),
            is_null=name == "null",
            scores={feature: feature / n_features for feature in range(n_features)},
        )
        for name in (GOOD, BAD, "null")
    ]
    features = [
        RatedFeature(
            arm,
            feature,
            feature,
            0.001 * (feature + 1),
            tuple(made_up_context(arm.name, feature, number, word) for number in range(8)),
            frozenset(1000 * feature + number for number in range(8)),
            f"{word}{feature} of {arm.name}",
        )
        for arm in arms
        for feature in range(n_features)
    ]
    rng = np.random.default_rng(seed)
    items = build_items(features, rng)
    items += [*repeated(items, rng), *with_gold_checks(items, rng)]
    facts = tuple({"name": arm.name, "sha256": "ab", "is_null": arm.is_null} for arm in arms)
    return Kit(tuple(items[index] for index in rng.permutation(len(items))), facts, "made up", seed)


def key_of(kit: Kit) -> Key:
    """The key without a file."""
    nulls = frozenset(arm["name"] for arm in kit.arms if arm["is_null"])
    return Key(hashlib.sha256(kit.key_text().encode()).hexdigest(), nulls, {item.id: item.key for item in kit.items})


def simulated_rater(kit: Kit, name: str, skill: dict[str, float], *, seed: int, noise: float = 0.6) -> Answers:
    """A rater who knows the answer with the arm's probability and guesses otherwise.

    Repeats are answered as the first time, gold checks are right, and ratings rise with the arm's skill and the score.
    """
    rng = np.random.default_rng(seed)
    found = Answers(name, {}, {"clarity": {}, "clinical_meaning": {}}, {})
    first = sorted(kit.items, key=lambda item: item.key.repeat_of is not None)
    for item in first:
        _answer(found, item.id, item.key, skill.get(item.key.arm, 0.0), rng, noise)
    return found


def _answer(found: Answers, item: str, key: KeyEntry, skill: float, rng: np.random.Generator, noise: float) -> None:
    if key.kind in ("intruder", "match"):
        n = 5 if key.kind == "intruder" else 4
        knows = key.is_gold or rng.random() < skill
        choice = key.answer if knows else int(rng.integers(n))
        found.choices[item] = found.choices.get(key.repeat_of, choice)
    elif key.kind == "rate":
        for scale, given in found.ratings.items():
            rating = 1 + 2 * skill + 2 * (key.score or 0.0) + noise * rng.standard_normal()
            given[item] = given.get(key.repeat_of, int(np.clip(round(rating), 1, 5)))
            assert scale in ("clarity", "clinical_meaning")
    else:
        found.texts[item] = "something"


def answers_file(answers: Answers, key_sha256: str) -> str:
    """The same as the page would hand it out."""
    given: dict[str, dict[str, object]] = {item: {"choice": choice} for item, choice in answers.choices.items()}
    for scale, ratings in answers.ratings.items():
        for item, rating in ratings.items():
            given.setdefault(item, {})[scale] = rating
    given |= {item: {"text": text} for item, text in answers.texts.items()}
    return json.dumps({"schema_version": 1, "key_sha256": key_sha256, "rater": answers.rater, "answers": given})
