"""All features of a dictionary at a glance: one pass over a corpus."""

from collections.abc import Iterable

import torch
from jaxtyping import Int64
from torch import Tensor

from sae.dictionary.autoencoder import SAE
from sae.dictionary.labels import FeatureLabel, load_labels
from sae.host.host import HostModel
from sae.inspection.activity import BINS_PER_OCTAVE, SMALLEST_OCTAVE, Activity, ActivityMeter
from sae.inspection.context_texts import contexts, token_ids_of
from sae.inspection.encoded_batches import encoded_batches
from sae.inspection.histograms import density_histogram
from sae.inspection.logit_lens import LogitLens, logit_lens
from sae.inspection.reports import Context, DictionaryReport, FeatureSummary, TokenLogit
from sae.inspection.sources import source_of
from sae.inspection.windows import WindowCollector, WindowShape
from sae.token_text import token_texts

__all__ = ["inspect_dictionary"]

WINDOW = WindowShape(before=8, after=3)
MOST_FEATURES = 4096
N_PROMOTED = 4
DENSE = 0.1


def inspect_dictionary(
    host: HostModel, sae: SAE, texts: Iterable[str], *, corpus: str, n_tokens: int, most_features: int = MOST_FEATURES
) -> DictionaryReport:
    """Look at all features in brief.

    Args:
        host: The model.
        sae: The dictionary, which must know its site; labels are read from beside its weights.
        texts: Documents, read until there are enough tokens.
        corpus: What to call the texts, usually their SPEC.
        n_tokens: Tokens to encode.
        most_features: Of a larger dictionary so many features are described, evenly spread over their ranks by density.

    Raises:
        ValueError: The dictionary does not know its site, or the texts are blank.
    """
    meter = ActivityMeter(sae.d_sae)
    strongest = WindowCollector(torch.arange(sae.d_sae), sae.d_sae, 1, WINDOW)
    for batch in encoded_batches(host, sae, texts, n_tokens=n_tokens):
        meter.update(batch)
        strongest.offer(batch, *strongest.entries(batch), batch.feature_acts.values)
    activity = meter.result()
    features = _evenly_spread(activity.fire_counts.argsort(descending=True, stable=True), most_features)
    lenses = logit_lens(host, sae.W_dec[features], n=N_PROMOTED)
    occupied = _occupied(activity.octave_counts)
    return DictionaryReport(
        source=source_of(host, sae, activity, corpus),
        l0=activity.l0,
        n_dead=int((activity.fire_counts == 0).sum()),
        n_dense=int((activity.density > DENSE).sum()),
        densities=density_histogram(activity),
        octave_edges=tuple(
            2 ** (SMALLEST_OCTAVE + i / BINS_PER_OCTAVE) for i in range(occupied.start, occupied.stop + 1)
        ),
        features=_summaries(host, sae, activity, features, contexts_of=strongest, lenses=lenses, occupied=occupied),
    )


def _evenly_spread(ranked: Int64[Tensor, " d_sae"], most: int) -> Int64[Tensor, " chosen"]:
    n = min(most, len(ranked))
    return ranked[torch.linspace(0, len(ranked) - 1, n, dtype=torch.float64).round().long()]


def _occupied(octave_counts: Int64[Tensor, "d_sae bins"]) -> slice:
    """The bins between the smallest and the largest activation of any feature."""
    used = octave_counts.sum(0).nonzero()[:, 0]
    return slice(int(used[0]), int(used[-1]) + 1) if len(used) else slice(0, 0)


def _summaries(
    host: HostModel,
    sae: SAE,
    activity: Activity,
    features: Int64[Tensor, " chosen"],
    *,
    contexts_of: WindowCollector,
    lenses: list[LogitLens],
    occupied: slice,
) -> tuple[FeatureSummary, ...]:
    labels = load_labels(sae.path)
    return tuple(
        _summary(host, activity, feature, labels.get(feature), contexts_of=contexts_of, lens=lens, occupied=occupied)
        for feature, lens in zip(features.tolist(), lenses, strict=True)
    )


def _summary(
    host: HostModel,
    activity: Activity,
    feature: int,
    label: FeatureLabel | None,
    *,
    contexts_of: WindowCollector,
    lens: LogitLens,
    occupied: slice,
) -> FeatureSummary:
    windows = contexts_of.result(feature)  # it collects for all features, in order
    texts = token_texts(host.tokenizer, [*token_ids_of(windows), *(pair.token_id for pair in lens.promoted)])
    found: tuple[Context, ...] = contexts(windows, WINDOW, texts)
    return FeatureSummary(
        feature=feature,
        label=label,
        density=float(activity.density[feature]),
        mean_activation=float(activity.mean[feature]),
        largest_activation=float(activity.largest[feature]),
        octaves=tuple(activity.octave_counts[feature, occupied].tolist()),
        context=found[0] if found else None,
        promoted=tuple(TokenLogit(texts[pair.token_id], pair.logit) for pair in lens.promoted),
    )
