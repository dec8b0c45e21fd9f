"""From a corpus to an activation store: documents go through the host a window at a time."""

import logging
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Int64
from torch import Tensor

from sae.activations.documents import Document, DocumentReader, cut_to
from sae.activations.outliers import OutlierRule
from sae.activations.store.buckets import row_bytes
from sae.activations.store.columns import store_columns
from sae.activations.store.configuration import StoreConfiguration
from sae.activations.store.progress import HarvestProgress
from sae.activations.store.store import ActivationStore
from sae.activations.store.window import Window, harvest_ordinary_tokens, pack_window
from sae.activations.store.writer import StoreWriter, random_numbers
from sae.dictionary.host_record import host_record
from sae.host.host import HostModel
from sae.host.sites import Site
from sae.progress import progress_counter

__all__ = ["harvest_to_store", "store_configuration"]

logger = logging.getLogger(__name__)
LEAST_HELD_OUT_TOKENS = 512
MOST_HELD_OUT_TOKENS = 65_536
HELD_OUT_SHARE = 0.05
LONGEST_CONTEXT = 1024


def harvest_to_store(
    host: HostModel,
    texts: Iterable[str],
    sites: Sequence[Site],
    *,
    corpus: str,
    n_tokens: int,
    out: str | Path,
    **settings: Any,
) -> ActivationStore:
    """Write the activations of a corpus to a directory, or go on where an earlier call was interrupted.

    The first documents become the held-out part; a later document with the text of one of them is left out.

    Args:
        host: The model.
        texts: The corpus from its beginning, also when a harvest is continued. Read as far as needed.
        sites: Where to read, of width d_model.
        corpus: What the texts are, such as their SPEC and seed.
        n_tokens: Training tokens to store.
        out: A new or empty directory, or one that was begun with the same settings.
        **settings: Of `StoreConfiguration`: `held_out_tokens` (default 5 %, between 512 and 65 536), `dtype`,
            `context_tokens` (default that of the host, at most 1024), `outlier_multiple`, `importance`,
            `window_tokens`, `batch_tokens`, `shard_tokens`, `seed`.

    Returns:
        The complete store; with fewer tokens where the texts run out.

    Raises:
        ValueError: The settings are not those of the directory, the host lacks a site, the corpus is empty or all of
            it is held out, an activation is not finite, or the disk is full: then the same call continues.
    """
    configuration = store_configuration(host, sites, corpus=corpus, n_tokens=n_tokens, **settings)
    writer = StoreWriter(Path(out), configuration, host.name)
    if not writer.is_complete:
        _warn_of_space(writer.folder, configuration)
        if not writer.progress.is_done:
            _gather(host, texts, writer)
        writer.finish()
    return ActivationStore.open(writer.folder)


def store_configuration(
    host: HostModel, sites: Sequence[Site], *, corpus: str, n_tokens: int, **settings: Any
) -> StoreConfiguration:
    """The configuration that `harvest_to_store` would give a store.

    Raises:
        ValueError: A setting is out of range, or the host lacks a site.
    """
    if missing := [str(site) for site in sites if site not in host.sites]:
        raise ValueError(
            f"the host {host.name!r} has no site {missing[0]}, expected some of {host.sites[0]} to ...{host.sites[-1]}"
        )
    share = max(LEAST_HELD_OUT_TOKENS, min(MOST_HELD_OUT_TOKENS, int(HELD_OUT_SHARE * n_tokens)))
    defaults = {
        "held_out_tokens": max(1, min(n_tokens, share)),
        "context_tokens": min(host.context_length, LONGEST_CONTEXT),
    }
    configuration = StoreConfiguration(
        host=host_record(host)["fingerprint"],
        host_dtype=str(host.dtype).removeprefix("torch."),
        sites=tuple(sorted(set(sites))),
        d_model=host.d_model,
        corpus=corpus,
        n_tokens=n_tokens,
        **{**defaults, **settings},
    )
    host.check_length(configuration.context_tokens, "a document of context_tokens")
    return configuration


def _gather(host: HostModel, texts: Iterable[str], writer: StoreWriter) -> None:
    """Run windows of documents until there are enough tokens."""
    configuration = writer.manifest.configuration
    reader = DocumentReader(host, texts, context_tokens=configuration.context_tokens)
    done = writer.progress
    reader.catch_up(done.n_texts, done.n_held_out_texts, done.texts_digest)
    if writer.progress.n_windows == 0:
        _hold_out(host, reader, writer)
    with progress_counter(configuration.n_tokens, "harvesting", unit="token", done=writer.progress.n_tokens) as bar:
        while (wanted := configuration.n_tokens - writer.progress.n_tokens) > 0:
            documents = cut_to(reader.take(min(wanted, configuration.window_tokens)), wanted)
            if not documents:
                logger.warning("the corpus ended %d tokens short of %d", wanted, configuration.n_tokens)
                break
            before = writer.progress.n_tokens
            _run_window(host, documents, reader, writer)
            bar.update(writer.progress.n_tokens - before)
    if writer.progress.n_tokens == 0:
        raise ValueError(
            f"the corpus has no tokens beside the {int(writer.progress.bucket_sizes[-1])} that are held out; "
            f"give more text, or fewer held_out_tokens than {configuration.held_out_tokens}"
        )
    writer.end(writer.progress)


def _hold_out(host: HostModel, reader: DocumentReader, writer: StoreWriter) -> None:
    """Run the held-out documents; what is usual at each site is judged by them."""
    configuration = writer.manifest.configuration
    documents = cut_to(reader.take(configuration.held_out_tokens, hold_out=True), configuration.held_out_tokens)
    if not documents:
        raise ValueError("the corpus gave no token to harvest, expected at least one document with text")
    writer.add_held_out_documents([document.ids for document in documents])
    parts = list(harvest_ordinary_tokens(host, documents, configuration))
    rule = OutlierRule.from_tokens(configuration.outlier_multiple, parts)
    window = pack_window(parts, rule, configuration)
    bucket_ids = torch.full((window.n_tokens,), configuration.n_shards)
    progress = replace(writer.progress, median_norms=rule.median_norms, n_held_out_texts=reader.n_read)
    writer.add(window.block, bucket_ids, _advanced(progress, reader, documents, window, bucket_ids))


def _run_window(host: HostModel, documents: list[Document], reader: DocumentReader, writer: StoreWriter) -> None:
    """Run some training documents and spread their tokens over the buckets."""
    configuration, progress = writer.manifest.configuration, writer.progress
    rule = OutlierRule(configuration.outlier_multiple, progress.median_norms)
    window = pack_window(harvest_ordinary_tokens(host, documents, configuration), rule, configuration)
    generator = random_numbers(configuration.seed, "buckets", progress.n_windows)
    bucket_ids = torch.randint(configuration.n_shards, (window.n_tokens,), generator=generator)
    progress = replace(
        progress,
        n_tokens=progress.n_tokens + window.n_tokens,
        moments={site: sums + window.moments[site] for site, sums in progress.moments.items()},
    )
    writer.add(window.block, bucket_ids, _advanced(progress, reader, documents, window, bucket_ids))


def _advanced(
    progress: HarvestProgress,
    reader: DocumentReader,
    documents: list[Document],
    window: Window,
    bucket_ids: Int64[Tensor, " tokens"],
) -> HarvestProgress:
    """The counts after a window, held-out or not."""
    n_special = sum(document.n_tokens for document in documents) - window.n_tokens - window.n_outliers
    return replace(
        progress,
        bucket_sizes=progress.bucket_sizes + torch.bincount(bucket_ids, minlength=len(progress.bucket_sizes)),
        n_windows=progress.n_windows + 1,
        n_texts=reader.n_read,
        texts_digest=reader.digest,
        n_documents=progress.n_documents + len(documents),
        special_tokens=progress.special_tokens + n_special,
        outliers=progress.outliers + window.n_outliers,
    )


def _warn_of_space(folder: Path, configuration: StoreConfiguration) -> None:
    """Say beforehand when the disk will not do; whoever makes room later may go on."""
    of_token = sum(map(row_bytes, store_columns(configuration).values()))
    needed = of_token * (configuration.n_tokens + configuration.held_out_tokens)
    present = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    free = shutil.disk_usage(folder).free
    if needed - present > free:
        logger.warning("the store will take %.1f GB, but %s has %.1f GB free", needed / 1e9, folder, free / 1e9)
