"""Which features fire where a concept is named in text, and just before it, more than elsewhere."""

from collections.abc import Iterable, Sequence

import torch
from jaxtyping import Int64
from torch import Tensor

from sae.dictionary.autoencoder import SAE
from sae.host.host import HostModel
from sae.host.sites import Site
from sae.inspection.encoded_batches import EncodedBatch, encoded_batches
from steering.finding.candidates import Candidate, strongest

__all__ = ["by_mentions"]

FEWEST_MENTIONS = 5
NOWHERE = -1


def by_mentions(
    host: HostModel, sae: SAE, site: Site, texts: Iterable[str], phrases: Sequence[str], *, n_tokens: int
) -> list[Candidate]:
    """Features that fire on the mentions of a concept in a corpus, or on the token before them.

    A mention is one of the phrases as tokens of its own, in the middle or at the beginning of a sentence. A feature
    fires on it where it fires on any of its tokens; so that long mentions do not give more chances than other text
    does, it is compared with pieces of the other text of the same length.

    Args:
        host: The model.
        sae: The dictionary at the site.
        site: The site.
        texts: Documents, read until there are enough tokens.
        phrases: The concept and its synonyms.
        n_tokens: Tokens to look at.

    Raises:
        ValueError: The corpus hardly mentions it.
    """
    forms = _token_forms(host, phrases)
    counts = {kind: _FiringCounts(sae.d_sae) for kind in ("mention", "before", "piece", "token")}
    length = max(1, round(sum(map(len, forms)) / len(forms)))
    for batch in encoded_batches(host, sae, texts, n_tokens=n_tokens):
        mentions, before = _places(batch, forms)
        others = (mentions == NOWHERE) & (before == NOWHERE)
        counts["mention"].add(batch, mentions)
        counts["before"].add(batch, before)
        counts["token"].add(batch, torch.where(others, others.cumsum(0) - 1, NOWHERE))
        counts["piece"].add(batch, torch.where(others, (others.cumsum(0) - 1) // length, NOWHERE))
    if counts["mention"].n_places < FEWEST_MENTIONS:
        raise ValueError(
            f"{' or '.join(map(repr, phrases))} occurs {counts['mention'].n_places} times in {n_tokens:,} tokens, "
            f"expected at least {FEWEST_MENTIONS}; give synonyms, more --corpus-tokens or another --corpus"
        )
    found = []
    for kind, elsewhere in (("mention", "piece"), ("before", "token")):
        found += strongest(site, (counts[kind].rates() - counts[elsewhere].rates()).float(), kind)
    return found


class _FiringCounts:
    """In how many places, of one or several tokens, each feature fires."""

    def __init__(self, d_sae: int) -> None:
        self.n_places = 0
        self._fired = torch.zeros(d_sae, dtype=torch.long)

    def add(self, batch: EncodedBatch, places: Int64[Tensor, " tokens"]) -> None:
        """Take in a batch.

        Args:
            batch: Some documents.
            places: Which place each encoded token belongs to, counted from 0; -1 for none.
        """
        acts = batch.feature_acts
        place_of_entry = places[batch.entry_tokens]
        keys = (place_of_entry * acts.d_sae + acts.feature_ids)[place_of_entry != NOWHERE].unique()
        self._fired += torch.bincount(keys % acts.d_sae, minlength=acts.d_sae)
        self.n_places += len(places[places != NOWHERE].unique())

    def rates(self) -> Tensor:
        """Share of the places in which each feature fires."""
        return self._fired.double() / max(1, self.n_places)


def _token_forms(host: HostModel, phrases: Sequence[str]) -> list[tuple[int, ...]]:
    """The phrases as token ids, after a space and without, as written and with a capital letter."""
    texts = [f"{space}{form}" for phrase in phrases for form in _forms(phrase.strip()) for space in (" ", "")]
    ids = [tuple(host.tokenizer(text, add_special_tokens=False)["input_ids"]) for text in texts]
    return list(dict.fromkeys(form for form in ids if form))


def _forms(phrase: str) -> tuple[str, ...]:
    return phrase, phrase[:1].upper() + phrase[1:]


def _places(
    batch: EncodedBatch, forms: Sequence[tuple[int, ...]]
) -> tuple[Int64[Tensor, " tokens"], Int64[Tensor, " tokens"]]:
    """Which mention each encoded token is part of, and which one it comes right before; -1 for none."""
    mentions, before = (torch.full(batch.ids.shape, NOWHERE) for _ in range(2))
    n_found = 0
    for form in sorted(forms, key=len, reverse=True):
        for row, start in _occurrences(batch.ids, form).tolist():
            span = slice(start, start + len(form))
            if (mentions[row, span] == NOWHERE).all() and batch.node_mask[row, span].all():
                mentions[row, span] = n_found
                before[row, max(0, start - 1)] = n_found
                n_found += 1
    # a token that is itself part of a mention does not come before another one
    before = torch.where(mentions == NOWHERE, before, NOWHERE)
    return mentions.flatten()[batch.cells], before.flatten()[batch.cells]


def _occurrences(ids: Int64[Tensor, "batch seq"], form: tuple[int, ...]) -> Int64[Tensor, "found 2"]:
    """Row and first token of each occurrence."""
    if len(form) > ids.shape[1]:
        return torch.zeros(0, 2, dtype=torch.long)
    windows = ids.unfold(1, len(form), 1)
    return (windows == torch.tensor(form)).all(-1).nonzero()
