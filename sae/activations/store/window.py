"""Some documents run through the host and brought to the columns of a store."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool
from torch import Tensor

from sae.activations.documents import Document, batches_of_similar_length
from sae.activations.harvest import Harvest, harvest_batches
from sae.activations.outliers import OutlierRule
from sae.activations.statistics import Moments
from sae.activations.store.buckets import Block
from sae.activations.store.columns import scales_column, store_columns
from sae.activations.store.configuration import StoreConfiguration
from sae.activations.store.quantisation import quantise
from sae.host.host import HostModel
from sae.host.sites import Site

__all__ = ["Window", "harvest_ordinary_tokens", "pack_window"]


@dataclass(frozen=True, eq=False)
class Window:
    """Tokens that are ready to be stored.

    Attributes:
        block: Every column of the store.
        moments: By site, of the activations as they are stored.
        n_outliers: Tokens that were left out for their norm.
    """

    block: Block
    moments: dict[Site, Moments]
    n_outliers: int

    @property
    def n_tokens(self) -> int:
        """Number of tokens."""
        return len(self.block["token_ids"])


def harvest_ordinary_tokens(
    host: HostModel, documents: Sequence[Document], configuration: StoreConfiguration
) -> Iterator[Harvest]:
    """What the host makes of documents, batch by batch, without BOS, end-of-text and padding tokens."""
    tokenizer = host.tokenizer
    special = [i for i in (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id) if i is not None]
    batches = batches_of_similar_length(documents, max_tokens=configuration.batch_tokens)
    for part in harvest_batches(host, batches, configuration.sites, importance=configuration.importance):
        yield _only(part, ~torch.isin(part.token_ids, torch.tensor(special)))


def pack_window(parts: Iterable[Harvest], rule: OutlierRule, configuration: StoreConfiguration) -> Window:
    """Drop outliers, round the rest to what is stored, and put it together.

    Raises:
        ValueError: An activation is not finite.
    """
    blocks = []
    moments = {site: Moments.none(configuration.d_model) for site in configuration.sites}
    n_outliers = 0
    for part in parts:
        kept = _only(part, rule.keeps(part.activations).cpu())
        n_outliers += part.n_tokens - kept.n_tokens
        block = dict(kept.columns)
        for site, rows in kept.activations.items():
            stored = quantise(rows, configuration.dtype)
            moments[site] += Moments.of(stored.decode())
            block[str(site)] = stored.values.cpu()
            if stored.scales is not None:
                block[scales_column(site)] = stored.scales.cpu()
        blocks.append(block)
    columns = {
        name: torch.cat([empty, *(block[name].to(empty.dtype) for block in blocks)])
        for name, empty in store_columns(configuration).items()
    }
    return Window(columns, moments, n_outliers)


def _only(part: Harvest, kept: Bool[Tensor, " tokens"]) -> Harvest:
    if bool(kept.all()):
        return part
    columns = {name: column[kept] for name, column in part.columns.items()}
    activations = {site: rows[kept.to(rows.device)] for site, rows in part.activations.items()}
    return replace(part, activations=activations, **columns)
