"""What a probe reads of a frozen host: one vector a prompt, with features removed on the way to it if asked.

Removing a feature takes what it writes out of the stream at every token, at each site up to the one that is read; what
later sites make of it goes with it. As in SHIFT (Marks et al. 2024, arXiv 2403.19647, section 4).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from circuits.runs.dictionaries import Dictionary, decoder_rows_of
from sae.host.host import Edit, HostModel
from sae.host.sites import Site
from sae.host.token_batch import TokenBatch

__all__ = ["PLACES", "Reading", "Removal", "read_tokens", "representations"]

Place = Literal["answer", "mean"]
PLACES: tuple[Place, ...] = ("answer", "mean")
BATCH_ROWS = 128


@dataclass(frozen=True)
class Reading:
    """Where a probe reads.

    Attributes:
        place: At the prompt's last token, or the mean over its tokens.
        site: Of which activations.
    """

    place: Place
    site: Site

    def __str__(self) -> str:
        where = "last token" if self.place == "answer" else "mean over tokens"
        return f"{self.site}, {where}"


@dataclass(frozen=True)
class Removal:
    """What is taken out of the stream.

    Attributes:
        dictionaries: By site.
        features: Which features of each go, by site.
        errors: Whether what the dictionaries miss goes too.
    """

    dictionaries: Mapping[Site, Dictionary]
    features: Mapping[Site, Sequence[int]] = field(default_factory=dict)
    errors: bool = False


def representations(
    host: HostModel, prompts: Sequence[str], reading: Reading, removal: Removal | None = None
) -> Float[Tensor, "prompts d_model"]:
    """What the probe is given of each prompt.

    Args:
        host: The model.
        prompts: Texts.
        reading: Where.
        removal: What is removed up to there; nothing by default.
    """
    rows = [host.tokenise(prompt) for prompt in prompts]
    order = sorted(range(len(rows)), key=lambda index: len(rows[index]))
    found = torch.zeros(len(rows), host.d_model)
    for start in range(0, len(order), BATCH_ROWS):
        chosen = order[start : start + BATCH_ROWS]
        batch = host.batch([rows[index] for index in chosen]).to(host.device)
        x = _activations(host, batch, reading.site, removal)
        found[chosen] = read_tokens(x.float(), batch.node_mask, reading.place).cpu()
    return found


def read_tokens(
    x: Float[Tensor, "batch seq d_model"], at_nodes: Bool[Tensor, "batch seq"], place: Place
) -> Float[Tensor, "batch d_model"]:
    """One vector a row, from the activations of its tokens; rows are padded on the left."""
    if place == "answer":
        return x[:, -1]
    weights = at_nodes.to(x.dtype)[..., None]
    return (x * weights).sum(1) / weights.sum(1)


def _activations(
    host: HostModel, batch: TokenBatch, site: Site, removal: Removal | None
) -> Float[Tensor, "batch seq d_model"]:
    if removal is None:
        return host.capture(batch, [site])[site]
    edits = {
        place: _edit(dictionary, removal.features.get(place, ()), removal.errors, batch.node_mask)
        for place, dictionary in removal.dictionaries.items()
        if place <= site and (removal.features.get(place) or removal.errors)
    }
    return host.forward(batch, edits, capture=[site], logits_to_keep=1).activations[site]


def _edit(dictionary: Dictionary, features: Sequence[int], errors: bool, at_nodes: Bool[Tensor, "batch seq"]) -> Edit:
    chosen = torch.tensor(list(features), dtype=torch.long)

    def edit(x: Float[Tensor, "batch seq d_model"]) -> Float[Tensor, "batch seq d_model"]:
        change = -dictionary.encode_features(x, chosen) @ decoder_rows_of(dictionary, chosen)
        if errors:
            change = change + dictionary.decode(dictionary.encode(x)) - x
        return torch.where(at_nodes[..., None], x + change.to(x.dtype), x)

    return edit
