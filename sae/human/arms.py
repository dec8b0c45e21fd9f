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
    """From each dictionary `n` features, so that the k-th of all have nearly the same density.

    Densities are spread evenly over the features of the dictionary that has the fewest within the range that all cover.

    Raises:
        ValueError: A dictionary has fewer than `n` features in that range.
    """
    eligible = [(activity.fire_counts >= MIN_FIRINGS).nonzero()[:, 0] for activity in activities]
    logs = [activity.density[own].log().numpy() for activity, own in zip(activities, eligible, strict=True)]
    if not all(len(each) for each in logs):
        raise ValueError(f"an SAE has no feature with {MIN_FIRINGS} firings, expected {n}; give more --tokens")
    low, high = max(each.min() for each in logs), min(each.max() for each in logs)
    inside = [np.sort(each[(each >= low) & (each <= high)]) for each in logs]
    fewest = min(inside, key=len)
    if len(fewest) < n:
        spans = "; ".join(f"{np.exp(each.min()):.2g} to {np.exp(each.max()):.2g}" for each in logs)
        raise ValueError(
            f"an SAE has {len(fewest)} features in the range of densities that all cover ({spans}), expected {n}; "
            "give more --tokens, fewer --features or SAEs of more similar L0"
        )
    wanted = fewest[np.linspace(0, len(fewest) - 1, n).round().astype(int)]
    return [own[_nearest(each, wanted)] for own, each in zip(eligible, logs, strict=True)]


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


def _nearest(logs: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """For each wanted value the nearest one that is not taken yet."""
    free = np.ones(len(logs), dtype=bool)
    chosen = []
    for value in wanted:
        index = int(np.where(free, np.abs(logs - value), np.inf).argmin())
        free[index] = False
        chosen.append(index)
    return np.array(chosen)


def _by_tokens(own: Sequence[Context]) -> str:
    """An explanation of a feature without a name: the tokens it is strongest on."""
    peaks = dict.fromkeys(context.tokens[context.index].strip() for context in own)
    return "the tokens " + ", ".join(
        f"\N{LEFT DOUBLE QUOTATION MARK}{peak}\N{RIGHT DOUBLE QUOTATION MARK}" for peak in list(peaks)[:3]
    )
