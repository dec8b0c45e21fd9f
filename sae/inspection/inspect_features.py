"""A close look at some features: one pass over a corpus, then the directions themselves."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from sae.dictionary.autoencoder import SAE
from sae.dictionary.labels import FeatureLabel, load_labels
from sae.host.host import HostModel
from sae.inspection import logit_lens as lens
from sae.inspection.activity import Activity, ActivityMeter
from sae.inspection.context_texts import contexts, decile_contexts, token_ids_of, without_repeats
from sae.inspection.encoded_batches import EncodedBatch, encoded_batches
from sae.inspection.histograms import activation_histogram, density_histogram
from sae.inspection.neighbours import decoder_neighbours
from sae.inspection.reports import FeatureReport, FiringToken, Neighbour, TokenLogit
from sae.inspection.sources import check_features, source_of
from sae.inspection.windows import WindowCollector, WindowShape, best_of_each_group
from sae.token_text import token_texts

__all__ = ["inspect_features"]

WINDOW = WindowShape(before=20, after=10)
N_STRONGEST, N_STRONGEST_KEPT = 12, 48
N_SAMPLED = 400
PER_DECILE = 3
N_FIRING_TOKENS = 8
N_LENS_TOKENS = 10


def inspect_features(
    host: HostModel,
    sae: SAE,
    texts: Iterable[str],
    features: Sequence[int],
    *,
    corpus: str,
    n_tokens: int,
    seed: int = 0,
) -> list[FeatureReport]:
    """Look at features closely.

    Memory is bounded by the number of features asked for: contexts are kept as the strongest and as a random sample
    of fixed size; of every firing only its activation stays, four bytes.

    Args:
        host: The model.
        sae: The dictionary, which must know its site; labels are read from beside its weights.
        texts: Documents, read until there are enough tokens.
        features: Which features.
        corpus: What to call the texts, usually their SPEC.
        n_tokens: Tokens to encode.
        seed: Of the random sample.

    Raises:
        ValueError: The dictionary lacks a feature or its site, or the texts are blank.
    """
    check_features(sae, features)
    firings = _Firings(sae, features, host.vocab_size, seed)
    meter = ActivityMeter(sae.d_sae)
    for batch in encoded_batches(host, sae, texts, n_tokens=n_tokens):
        meter.update(batch)
        firings.update(batch)
    activity = meter.result()
    lenses = lens.logit_lens(host, sae.W_dec[list(features)], n=N_LENS_TOKENS)
    look = _Look(host, sae, activity, load_labels(sae.path), corpus)
    return [_report(look, firings, slot, lenses[slot]) for slot in range(len(features))]


@dataclass(frozen=True, eq=False)
class _Look:
    """What all reports share."""

    host: HostModel
    sae: SAE
    activity: Activity
    labels: dict[int, FeatureLabel]
    corpus: str


class _Firings:
    """The strongest contexts of some features, a random sample of the others, and which tokens they are on."""

    def __init__(self, sae: SAE, features: Sequence[int], vocab_size: int, seed: int) -> None:
        chosen = torch.tensor(features)
        self.features = list(features)
        self.strongest = WindowCollector(chosen, sae.d_sae, N_STRONGEST_KEPT, WINDOW)
        self.sample = WindowCollector(chosen, sae.d_sae, N_SAMPLED, WINDOW)
        self.token_counts = torch.zeros(vocab_size, dtype=torch.long)
        self.firing_counts = torch.zeros(len(features), vocab_size, dtype=torch.long)
        self._values: list[tuple[Tensor, Tensor]] = []
        self._generator = torch.Generator().manual_seed(seed)

    def update(self, batch: EncodedBatch) -> None:
        """Add a batch."""
        entries, slots = self.strongest.entries(batch)
        values = batch.feature_acts.values[entries]
        best_of_document = best_of_each_group(slots * _beyond(batch) + batch.entry_documents[entries], values, 1)
        self.strongest.offer(batch, entries[best_of_document], slots[best_of_document], values[best_of_document])
        self.sample.offer(batch, entries, slots, torch.rand(len(entries), generator=self._generator))
        ids = batch.ids.flatten()[batch.cells]
        self.token_counts += torch.bincount(ids, minlength=len(self.token_counts))
        flat = self.firing_counts.view(-1)
        flat += torch.bincount(slots * len(self.token_counts) + ids[batch.entry_tokens[entries]], minlength=len(flat))
        self._values.append((slots, values))

    def values(self, slot: int) -> Float[Tensor, " firings"]:
        """All activations of a feature."""
        return torch.cat([values[slots == slot] for slots, values in self._values])


def _beyond(batch: EncodedBatch) -> int:
    """A number larger than that of any document so far."""
    return int(batch.document_ids.max()) + 1


def _report(look: _Look, firings: _Firings, slot: int, directions: lens.LogitLens) -> FeatureReport:
    feature = firings.features[slot]
    values = firings.values(slot)
    strongest, sample = firings.strongest.result(slot), firings.sample.result(slot)
    lens_ids = [pair.token_id for pair in (*directions.promoted, *directions.suppressed)]
    fired = firings.firing_counts[slot].topk(min(N_FIRING_TOKENS, firings.firing_counts.shape[1])).indices
    texts = token_texts(
        look.host.tokenizer, [*token_ids_of(strongest), *token_ids_of(sample), *lens_ids, *fired.tolist()]
    )
    activity = look.activity
    return FeatureReport(
        source=source_of(look.host, look.sae, activity, look.corpus),
        feature=feature,
        label=look.labels.get(feature),
        n_active=int(activity.fire_counts[feature]),
        density=float(activity.density[feature]),
        mean_activation=float(activity.mean[feature]),
        largest_activation=float(activity.largest[feature]),
        threshold=float(look.sae.threshold[feature]),
        activations=activation_histogram(values),
        densities=density_histogram(activity),
        n_dead=int((activity.fire_counts == 0).sum()),
        strongest=without_repeats(contexts(strongest, WINDOW, texts), N_STRONGEST),
        deciles=decile_contexts(values, contexts(sample, WINDOW, texts), per_decile=PER_DECILE),
        tokens=_firing_tokens(firings, slot, fired, texts),
        promoted=tuple(TokenLogit(texts[pair.token_id], pair.logit) for pair in directions.promoted),
        suppressed=tuple(TokenLogit(texts[pair.token_id], pair.logit) for pair in directions.suppressed),
        neighbours=tuple(
            Neighbour(near.feature, near.cosine, look.labels.get(near.feature))
            for near in decoder_neighbours(look.sae, feature)
        ),
    )


def _firing_tokens(
    firings: _Firings, slot: int, token_ids: Int64[Tensor, " some"], texts: dict[int, str]
) -> tuple[FiringToken, ...]:
    """The tokens that a feature is most often active on; those without any firing are left out."""
    counts = firings.firing_counts[slot]
    total = int(counts.sum())
    return tuple(
        FiringToken(texts[token], int(counts[token]), int(counts[token]) / total, int(counts[token]) / int(occurrences))
        for token, occurrences in zip(token_ids.tolist(), firings.token_counts[token_ids], strict=True)
        if counts[token] > 0
    )
