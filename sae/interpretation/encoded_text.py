"""Documents with every activation of a dictionary on them, read by feature.

All is held in memory, twelve bytes for each active feature of a token: 300 MB for a million tokens at an L0 of 25.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Bool, Float, Float64, Int64
from torch import Tensor

from sae.dictionary.autoencoder import SAE
from sae.dictionary.feature_acts import FeatureActs
from sae.host.host import HostModel
from sae.inspection.encoded_batches import encoded_batches
from sae.interpretation.roles import Role

__all__ = ["EncodedText", "encode_text", "joined_texts", "text_of_acts"]


@dataclass(frozen=True, eq=False)
class EncodedText:
    """Documents of different texts, one after another, and what fires where.

    Attributes:
        texts: The documents as they were read; tokens beyond the context are not there.
        roles: What each document is for, a `Role`.
        token_ids: Their tokens, BOS left out.
        document_offsets: Where each document's tokens begin; one more than there are documents.
        feature_offsets: Where each feature's entries begin; one more than there are features.
        entry_tokens: The token of each entry, ascending within a feature.
        values: The activation of each entry, above 0.
        n_repeated: Documents that were left out because their text had occurred before.
    """

    texts: tuple[str, ...]
    roles: Int64[Tensor, " documents"]
    token_ids: Int64[Tensor, " tokens"]
    document_offsets: Int64[Tensor, " offsets"]
    feature_offsets: Int64[Tensor, " feature_offsets"]
    entry_tokens: Int64[Tensor, " entries"]
    values: Float[Tensor, " entries"]
    n_repeated: int = 0

    @property
    def d_sae(self) -> int:
        """Features of the dictionary."""
        return len(self.feature_offsets) - 1

    @cached_property
    def document_of_token(self) -> Int64[Tensor, " tokens"]:
        """The document that each token belongs to."""
        return torch.arange(len(self.texts)).repeat_interleave(self.document_offsets.diff())

    @cached_property
    def place_in_document(self) -> Int64[Tensor, " tokens"]:
        """How many tokens of its document stand before each token."""
        return torch.arange(len(self.token_ids)) - self.document_offsets[self.document_of_token]

    def has_role(self, *roles: Role) -> Bool[Tensor, " tokens"]:
        """Whether each token is of a document with one of some roles."""
        return torch.isin(self.roles, torch.tensor(roles, dtype=torch.long))[self.document_of_token]

    def firings(self, feature: int) -> tuple[Int64[Tensor, " firings"], Float[Tensor, " firings"]]:
        """The tokens on which a feature is active, and how much."""
        mine = slice(int(self.feature_offsets[feature]), int(self.feature_offsets[feature + 1]))
        return self.entry_tokens[mine], self.values[mine]

    def density(self, *roles: Role) -> Float64[Tensor, " d_sae"]:
        """Share of the tokens with some roles on which each feature is active."""
        inside = self.has_role(*roles)
        features = torch.arange(self.d_sae).repeat_interleave(self.feature_offsets.diff())
        counts = torch.bincount(features[inside[self.entry_tokens]], minlength=self.d_sae)
        return counts.double() / inside.sum().clamp(min=1)

    def document_counts(self, role: Role) -> Int64[Tensor, " d_sae"]:
        """In how many documents of a role each feature is active."""
        features = torch.arange(self.d_sae).repeat_interleave(self.feature_offsets.diff())
        inside = self.has_role(role)[self.entry_tokens]
        pairs = torch.stack([features, self.document_of_token[self.entry_tokens]], 1)[inside].unique(dim=0)
        return torch.bincount(pairs[:, 0], minlength=self.d_sae)


def encode_text(
    host: HostModel,
    sae: SAE,
    texts: Iterable[str],
    role: Callable[[str], Role],
    *,
    n_tokens: int,
    repeats: bool = False,
) -> EncodedText:
    """Run documents through the host and encode them.

    Args:
        host: The model.
        sae: The dictionary; it must know its site.
        texts: Documents, read until there are enough tokens; blank ones are left out.
        role: What a document is for, from its text.
        n_tokens: Tokens to encode, BOS not counted.
        repeats: Whether a text that occurred before is kept.

    Raises:
        ValueError: The dictionary does not know its site, or no document has any text.
    """
    reading = _Reading(texts, repeats)
    pieces: dict[int, tuple[Tensor, FeatureActs]] = {}
    for batch in encoded_batches(host, sae, reading, n_tokens=n_tokens):
        start = 0
        for row, length in enumerate(batch.node_mask.sum(1).tolist()):
            ids = batch.ids[row][batch.node_mask[row]]
            pieces[int(batch.document_ids[row])] = (ids, _rows(batch.feature_acts, start, start + length))
            start += length
    ordered = [pieces[index] for index in sorted(pieces)]
    read = [reading.texts[index] for index in sorted(pieces)]
    acts = FeatureActs.concatenate([each for _, each in ordered])
    return text_of_acts(
        read, [ids for ids, _ in ordered], acts, [role(text) for text in read], n_repeated=reading.n_repeated
    )


def text_of_acts(
    texts: Iterable[str],
    rows: Iterable[Int64[Tensor, " _"]],
    acts: FeatureActs,
    roles: Iterable[Role],
    *,
    n_repeated: int = 0,
) -> EncodedText:
    """The same from activations at hand.

    Args:
        texts: The documents.
        rows: Token ids of each document, BOS left out.
        acts: Activations of all tokens, document after document.
        roles: What each document is for.
        n_repeated: Documents that were left out beforehand.
    """
    rows = list(rows)
    lengths = torch.tensor([len(row) for row in rows])
    order = acts.feature_ids.argsort(stable=True)
    counts = torch.bincount(acts.feature_ids, minlength=acts.d_sae)
    return EncodedText(
        texts=tuple(texts),
        roles=torch.tensor([int(role) for role in roles], dtype=torch.long),
        token_ids=torch.cat(rows),
        document_offsets=_running_sum(lengths),
        feature_offsets=_running_sum(counts),
        entry_tokens=acts.token_ids()[order],
        values=acts.values[order],
        n_repeated=n_repeated,
    )


def joined_texts(parts: list[EncodedText]) -> EncodedText:
    """The documents of several texts one after another, encoded by the same dictionary."""
    starts = _running_sum(torch.tensor([len(part.token_ids) for part in parts]))
    features = torch.cat([torch.arange(part.d_sae).repeat_interleave(part.feature_offsets.diff()) for part in parts])
    tokens = torch.cat([part.entry_tokens + start for part, start in zip(parts, starts, strict=False)])
    order = features.argsort(stable=True)
    return EncodedText(
        texts=tuple(text for part in parts for text in part.texts),
        roles=torch.cat([part.roles for part in parts]),
        token_ids=torch.cat([part.token_ids for part in parts]),
        document_offsets=_running_sum(torch.cat([part.document_offsets.diff() for part in parts])),
        feature_offsets=_running_sum(torch.bincount(features, minlength=parts[0].d_sae)),
        entry_tokens=tokens[order],
        values=torch.cat([part.values for part in parts])[order],
        n_repeated=sum(part.n_repeated for part in parts),
    )


class _Reading:
    """Passes texts on and remembers them; blank ones and, if so wanted, repeated ones are left out."""

    def __init__(self, texts: Iterable[str], repeats: bool) -> None:
        self._texts = texts
        self._repeats = repeats
        self.texts: list[str] = []
        self.n_repeated = 0

    def __iter__(self) -> Iterator[str]:
        seen: set[str] = set()
        for text in self._texts:
            if not text.strip():
                continue
            if text in seen and not self._repeats:
                self.n_repeated += 1
                continue
            seen.add(text)
            self.texts.append(text)
            yield text


def _rows(acts: FeatureActs, start: int, end: int) -> FeatureActs:
    """The tokens `start` to `end`."""
    first, last = int(acts.token_offsets[start]), int(acts.token_offsets[end])
    offsets = acts.token_offsets[start : end + 1] - first
    return FeatureActs(acts.values[first:last], acts.feature_ids[first:last], offsets, acts.d_sae)


def _running_sum(counts: Int64[Tensor, " items"]) -> Int64[Tensor, " offsets"]:
    """Where each item begins, and where the last one ends."""
    return torch.nn.functional.pad(counts.cumsum(0), (1, 0))
