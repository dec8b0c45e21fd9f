"""From dictionaries and a corpus to a page for raters and a sealed key.

The page holds the SHA-256 of the key, and every answer file repeats it: answers fit one key only, and a key that was
changed after the page was handed out does not fit its answers any more.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sae.activations.row_activations import reading_site, sampled_activations
from sae.dictionary.random_directions import random_dictionary
from sae.host.host import HostModel
from sae.host.prompts import prompt_ids
from sae.human.arms import Arm, RatedFeature, Texts, densities_in_common, measure_activity, rated_features
from sae.human.items import Item, build_items, repeated, with_gold_checks
from sae.human.page import page_text
from sae.written_whole import written_whole

__all__ = ["KEY", "PAGE", "RANDOM", "Kit", "build_kit", "write_kit"]

KEY, PAGE = "key.json", "rating.html"
RANDOM = "random directions"
SCHEMA_VERSION = 1
SAMPLED_DOCUMENTS = 200


@dataclass(frozen=True)
class Kit:
    """A page to hand out and the key to keep.

    Attributes:
        items: In the order of the page.
        arms: Their names with hash of the weights and whether they are nulls.
        corpus: Where the contexts are from.
        seed: Of all choices.
    """

    items: tuple[Item, ...]
    arms: tuple[dict[str, Any], ...]
    corpus: str
    seed: int

    def key_text(self) -> str:
        """The key file."""
        items = {item.id: item.in_key() for item in self.items}
        record = {"schema_version": SCHEMA_VERSION, "corpus": self.corpus, "seed": self.seed, "arms": self.arms}
        return json.dumps({**record, "items": items}, indent=1, allow_nan=False)


def build_kit(
    host: HostModel, arms: Sequence[Arm], texts: Texts, *, corpus: str, n_features: int, n_tokens: int, seed: int = 0
) -> Kit:
    """Choose features of equal density from every arm and from random directions, and make items of them.

    Args:
        host: The model.
        arms: At least one; their names must differ.
        texts: Gives the corpus from its beginning, every time it is called.
        corpus: What to call it.
        n_features: Features of each arm.
        n_tokens: Tokens to look for contexts in.
        seed: Of all choices.

    Raises:
        ValueError: Two arms have one name, or the arms have too few features with densities in common.
    """
    names = [arm.name for arm in arms]
    if len(set(names)) < len(names):
        raise ValueError(f"arms are called {names}, expected different names")
    everything = [*arms, _random_arm(host, arms[0], texts, seed)]
    activities = [measure_activity(host, arm.sae, texts, n_tokens=n_tokens) for arm in everything]
    chosen = densities_in_common(activities, n_features)
    features: list[RatedFeature] = []
    for arm, own, activity in zip(everything, chosen, activities, strict=True):
        features += rated_features(host, arm, own, activity, texts, n_tokens=n_tokens)
    rng = np.random.default_rng(seed)
    items = build_items(features, rng)
    if not items:
        raise ValueError("no feature has enough different contexts; give more --tokens")
    items += [*repeated(items, rng), *with_gold_checks(items, rng)]
    order = rng.permutation(len(items)).tolist()
    facts = [{"name": arm.name, "sha256": arm.sae.content_hash, "is_null": arm.is_null} for arm in everything]
    return Kit(tuple(items[index] for index in order), tuple(facts), corpus, seed)


def write_kit(kit: Kit, directory: Path) -> None:
    """Write the page and the key."""
    key = kit.key_text()
    digest = hashlib.sha256(key.encode()).hexdigest()
    with written_whole(directory / KEY) as part:
        part.write_text(key, encoding="utf-8")
    with written_whole(directory / PAGE) as part:
        part.write_text(page_text([item.on_page() for item in kit.items], digest), encoding="utf-8", newline="\n")


def _random_arm(host: HostModel, like: Arm, texts: Texts, seed: int) -> Arm:
    sae = like.sae
    rows = [
        torch.tensor(prompt_ids(host.tokenizer, text)[: host.context_length])
        for text in islice(texts(), SAMPLED_DOCUMENTS)
        if text.strip()
    ]
    x = sampled_activations(host, reading_site(sae), rows, seed=seed)
    l0 = len(sae.encode_sparse(x.to(sae.device)).values) / len(x)
    return Arm(RANDOM, random_dictionary(x, sae, l0=l0, seed=seed).to(sae.device), is_null=True)
