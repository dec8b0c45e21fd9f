"""What raters compare without knowing it: equally dense features of dictionaries, one of them of random directions."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from sae.dictionary.autoencoder import SAE
from sae.host.host import HostModel
from sae.inspection.activity import Activity, ActivityMeter
from sae.inspection.context_texts import contexts, token_ids_of, without_repeats
from sae.inspection.encoded_batches import EncodedBatch, encoded_batches
from sae.inspection.reports import Context
from sae.inspection.windows import WindowCollector, WindowShape, best_of_each_group
from sae.token_text import token_texts

__all__ = ["N_CONTEXTS", "Arm", "RatedFeature", "densities_in_common", "measure_activity", "rated_features"]

WINDOW = WindowShape(before=12, after=6)
N_CONTEXTS = 4
"""Contexts that a rater sees of a feature at once."""
N_KEPT = 32
MIN_FIRINGS = 12
MOST_UNEQUAL = 1.25
"""Densities that are within this factor count as equal."""
Texts = Callable[[], Iterator[str]]


@dataclass(frozen=True, eq=False)
class Arm:
    """One dictionary of the comparison.

    Attributes:
        name: What the key calls it.
        sae: The dictionary.
        is_null: Whether its features mean nothing by construction.
        explanations: What features are said to stand for; features without any are explained by their tokens.
        scores: An automated score of features, to be correlated with what raters say.
    """

    name: str
    sae: SAE
    is_null: bool = False
    explanations: Mapping[int, str] = field(default_factory=dict)
    scores: Mapping[int, float] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class RatedFeature:
    """A feature that raters are shown.

    Attributes:
        arm: Its dictionary.
        feature: Its number.
        pair: Features of different arms with the same number here have nearly the same density.
        density: Share of tokens on which it is active.
        contexts: Its strongest contexts, of different documents.
        documents: All documents on which it is active.
        explanation: What it is said to stand for.
    """

    arm: Arm
    feature: int
    pair: int
    density: float
    contexts: tuple[Context, ...]
    documents: frozenset[int]
    explanation: str


def measure_activity(host: HostModel, sae: SAE, texts: Texts, *, n_tokens: int) -> Activity:
    """How often each feature is active."""
    meter = ActivityMeter(sae.d_sae)
    for batch in encoded_batches(host, sae, texts(), n_tokens=n_tokens):
        meter.update(batch)
    return meter.result()


def densities_in_common(activities: Sequence[Activity], n: int) -> list[Int64[Tensor, " n"]]:
    """From each dictionary `n` features; the k-th of all differ in density by a factor of at most `MOST_UNEQUAL`.

    Of all features that can be matched so, those are taken that spread evenly over their order by density.

    Raises:
        ValueError: Fewer than `n` can be matched.
    """
    eligible = [(activity.fire_counts >= MIN_FIRINGS).nonzero()[:, 0] for activity in activities]
    logs = [activity.density[own].log().numpy() for activity, own in zip(activities, eligible, strict=True)]
    matches = _matches(logs)
    if len(matches) < n:
        found = "; ".join(f"{len(each)} with {_span(each)}" for each in logs)
        raise ValueError(
            f"{len(matches)} features with {MIN_FIRINGS} firings are equally dense in all SAEs ({found}), "
            f"expected {n}; give more --tokens, fewer --features or SAEs of more similar L0"
        )
    chosen = np.array(matches)[np.linspace(0, len(matches) - 1, n).round().astype(int)]
    return [own[chosen[:, arm]] for arm, own in enumerate(eligible)]


def rated_features(
    host: HostModel, arm: Arm, features: Int64[Tensor, " n"], activity: Activity, texts: Texts, *, n_tokens: int
) -> list[RatedFeature]:
    """The contexts of some features; a feature with fewer than `N_CONTEXTS` different ones is left out."""
    collector = WindowCollector(features, arm.sae.d_sae, N_KEPT, WINDOW)
    documents: list[set[int]] = [set() for _ in features]
    for batch in encoded_batches(host, arm.sae, texts(), n_tokens=n_tokens):
        _offer(collector, batch, documents)
    found = []
    for slot, feature in enumerate(features.tolist()):
        windows = collector.result(slot)
        own = without_repeats(
            contexts(windows, WINDOW, token_texts(host.tokenizer, token_ids_of(windows))), 2 * N_CONTEXTS
        )
        if len(own) >= N_CONTEXTS:
            explanation = arm.explanations.get(feature) or _by_tokens(own)
            density = float(activity.density[feature])
            found.append(RatedFeature(arm, feature, slot, density, own, frozenset(documents[slot]), explanation))
    return found


def _offer(collector: WindowCollector, batch: EncodedBatch, documents: list[set[int]]) -> None:
    entries, slots = collector.entries(batch)
    values = batch.feature_acts.values[entries]
    beyond = int(batch.document_ids.max()) + 1
    best = best_of_each_group(slots * beyond + batch.entry_documents[entries], values, 1)
    collector.offer(batch, entries[best], slots[best], values[best])
    for slot, document in torch.stack([slots, batch.entry_documents[entries]], 1).unique(dim=0).tolist():
        documents[slot].add(document)


def _matches(logs: Sequence[np.ndarray]) -> list[list[int]]:
    """For features of the dictionary with the fewest, the rarest first, the nearest of all, if free and near enough."""
    if not all(len(each) for each in logs):
        return []
    free = [np.ones(len(each), dtype=bool) for each in logs]
    found = []
    for value in np.sort(min(logs, key=len)):
        places = [
            int(np.where(is_free, np.abs(each - value), np.inf).argmin())
            for each, is_free in zip(logs, free, strict=True)
        ]
        densities = [each[place] for each, place in zip(logs, places, strict=True)]
        is_free_everywhere = all(own[place] for own, place in zip(free, places, strict=True))
        if is_free_everywhere and max(densities) - min(densities) <= np.log(MOST_UNEQUAL):
            found.append(places)
            for own, place in zip(free, places, strict=True):
                own[place] = False
    return found


def _span(logs: np.ndarray) -> str:
    return f"densities of {np.exp(logs.min()):.2g} to {np.exp(logs.max()):.2g}" if len(logs) else "none"


def _by_tokens(own: Sequence[Context]) -> str:
    """An explanation of a feature without a name: the tokens it is strongest on."""
    peaks = dict.fromkeys(context.tokens[context.index].strip() for context in own)
    return "the tokens " + ", ".join(
        f"\N{LEFT DOUBLE QUOTATION MARK}{peak}\N{RIGHT DOUBLE QUOTATION MARK}" for peak in list(peaks)[:3]
    )
