"""What is known of a feature before it is moved, and what moving it changed: its footprint, on one card.

Side effects of a feature can be seen coming from what its decoder row says directly, from how often it is active, and
from what is active together with it (Duan 2026, arXiv 2606.08365); the card shows these beside what was measured.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch

from sae.dictionary.labels import FeatureLabel
from sae.inspection.encoded_batches import encoded_batches
from sae.inspection.logit_lens import TokenLogit, logit_lens
from sae.token_text import token_texts
from steering.directions import Feature
from steering.steered_host import SteeredHost

__all__ = ["CoFiring", "RiskCard", "TokenEffect", "risk_cards"]

N_TOKENS_SHOWN, N_CO_FIRING = 5, 5


@dataclass(frozen=True)
class TokenEffect:
    """A token, and what one unit of activation adds to its logit if nothing comes between, beside the mean token."""

    token: str
    logit: float


@dataclass(frozen=True)
class CoFiring:
    """Another feature of the same dictionary that is active on the same tokens.

    Attributes:
        feature: Its name.
        label: What it stands for, if known.
        overlap: Tokens on which both are active, as a share of those on which either is.
    """

    feature: str
    label: str | None
    overlap: float


@dataclass(frozen=True)
class RiskCard:
    """A feature's footprint.

    Attributes:
        feature: Its name.
        label: What it stands for, if known.
        promoted: Tokens that its decoder row speaks for, strongest first.
        suppressed: Tokens that it speaks against.
        density: Share of the corpus' tokens on which it is active; 0 for one that is dead there.
        n_tokens: How many tokens that was seen on.
        co_firing: What fires with it, most overlap first.
    """

    feature: str
    label: str | None
    promoted: tuple[TokenEffect, ...]
    suppressed: tuple[TokenEffect, ...]
    density: float
    n_tokens: int
    co_firing: tuple[CoFiring, ...]

    def to_json(self) -> dict[str, Any]:
        """The fields by name."""
        return asdict(self)


def risk_cards(
    steered: SteeredHost, features: Sequence[Feature], texts: Iterable[str], *, n_tokens: int
) -> list[RiskCard]:
    """The cards of some features of one site, from one pass over a corpus.

    Args:
        steered: The model.
        features: All of one site, at least one.
        texts: Documents, read until there are enough tokens.
        n_tokens: Tokens to look at.

    Raises:
        ValueError: The features are of several sites, or there is no text.
    """
    sites = {feature.site for feature in features}
    if len(sites) != 1:
        raise ValueError(f"risk cards are of one site, got features of {len(sites)}; ask for each site by itself")
    [site] = sites
    sae, indices = steered.dictionaries.sae(site), [feature.index for feature in features]
    together = torch.zeros(len(indices), sae.d_sae, dtype=torch.long)
    fired, n_seen = torch.zeros(sae.d_sae, dtype=torch.long), 0
    for batch in encoded_batches(steered.host, sae, texts, n_tokens=n_tokens):
        acts, n_seen = batch.feature_acts, n_seen + batch.n_tokens
        fired += torch.bincount(acts.feature_ids, minlength=sae.d_sae)
        for row, index in enumerate(indices):
            is_active = torch.zeros(batch.n_tokens, dtype=torch.bool)
            is_active[batch.entry_tokens[acts.feature_ids == index]] = True
            together[row] += torch.bincount(acts.feature_ids[is_active[batch.entry_tokens]], minlength=sae.d_sae)
    lenses = logit_lens(steered.host, sae.decoder_rows[indices], n=N_TOKENS_SHOWN)
    cards = []
    for row, (feature, lens) in enumerate(zip(features, lenses, strict=True)):
        either = (fired + fired[feature.index] - together[row]).clamp(min=1)
        overlap = together[row].double() / either
        overlap[feature.index] = 0.0
        near = overlap.topk(min(N_CO_FIRING, len(overlap)))
        cards.append(
            RiskCard(
                feature.name,
                _text(steered.dictionaries.label(site, feature.index)),
                _effects(steered, lens.promoted),
                _effects(steered, lens.suppressed),
                int(fired[feature.index]) / n_seen,
                n_seen,
                tuple(
                    CoFiring(Feature(site, other).name, _text(steered.dictionaries.label(site, other)), share)
                    for other, share in zip(near.indices.tolist(), near.values.tolist(), strict=True)
                    if share > 0
                ),
            )
        )
    return cards


def _text(label: FeatureLabel | None) -> str | None:
    return None if label is None else label.text


def _effects(steered: SteeredHost, pairs: Sequence[TokenLogit]) -> tuple[TokenEffect, ...]:
    texts: Mapping[int, str] = token_texts(steered.host.tokenizer, [pair.token_id for pair in pairs])
    return tuple(TokenEffect(texts[pair.token_id], pair.logit) for pair in pairs)
