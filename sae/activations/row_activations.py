"""Activations of given rows of token ids, in their order, a batch at a time."""

from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from sae.dictionary.autoencoder import SAE
from sae.dictionary.feature_acts import FeatureActs
from sae.host.host import HostModel
from sae.host.sites import Site
from sae.progress import progress_counter

__all__ = ["encoded_rows", "reading_site", "row_activations", "sampled_activations"]

BATCH_TOKENS = 8192
SAMPLED_TOKENS = 4000


def reading_site(sae: SAE) -> Site:
    """Where a dictionary reads.

    Raises:
        ValueError: It does not say.
    """
    site = sae.input_site or sae.site
    if site is None:
        raise ValueError("the SAE does not say its site, expected a hook_name such as blocks.3.hook_resid_post")
    return site


def row_activations(
    host: HostModel, site: Site, rows: Sequence[Int64[Tensor, " _"]]
) -> Iterator[tuple[Float[Tensor, "tokens d_model"], list[int]]]:
    """Activations at every token but BOS, row after row, and the tokens of each row.

    One batch at a time, in float32 on the device of the host.

    Args:
        host: The model.
        site: Where to read.
        rows: BOS included; rows of similar length should lie together, so that little is padding.
    """
    with progress_counter(len(rows), "encoding", unit="document") as bar:
        for batch_rows in _batches(rows):
            batch = host.batch(batch_rows)
            activations = host.capture(batch, [site])[site][batch.node_mask]
            yield activations.float(), batch.node_mask.sum(1).tolist()
            bar.update(len(batch_rows))


def encoded_rows(host: HostModel, saes: Sequence[SAE], rows: Sequence[Int64[Tensor, " _"]]) -> list[FeatureActs]:
    """Features of several dictionaries of one site at every token but BOS, in one pass; on the CPU."""
    parts: list[list[FeatureActs]] = [[] for _ in saes]
    for x, _ in row_activations(host, reading_site(saes[0]), rows):
        for sae, found in zip(saes, parts, strict=True):
            found.append(sae.encode_sparse(x.to(sae.device)).to("cpu"))
    return [FeatureActs.concatenate(found) for found in parts]


def sampled_activations(
    host: HostModel, site: Site, rows: Sequence[Int64[Tensor, " _"]], *, n_tokens: int = SAMPLED_TOKENS, seed: int = 0
) -> Float[Tensor, "tokens d_model"]:
    """Activations of rows drawn at random, until they hold `n_tokens` tokens; on the CPU."""
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed)).tolist()
    chosen: list[Tensor] = []
    found = 0
    for index in order:
        if found >= n_tokens:
            break
        chosen.append(rows[index])
        found += len(rows[index])
    return torch.cat([x.cpu() for x, _ in row_activations(host, site, sorted(chosen, key=len))])


def _batches(rows: Sequence[Int64[Tensor, " _"]]) -> Iterator[list[Int64[Tensor, " _"]]]:
    batch: list[Tensor] = []
    longest = 0
    for row in rows:
        longest = max(longest, len(row))
        if batch and (len(batch) + 1) * longest > BATCH_TOKENS:
            yield batch
            batch, longest = [], len(row)
        batch.append(row)
    if batch:
        yield batch
