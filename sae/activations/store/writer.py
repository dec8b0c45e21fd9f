"""Writes an activation store so that it can be interrupted anywhere: rows go to buckets, buckets become shards.

1. Every row goes to a bucket drawn at random; after each window of documents the progress is saved.
2. Each bucket is read back, put in random order and written as a shard; then the bucket is deleted.

A uniform bucket and a uniform order within it make the order of all rows a uniform permutation.
"""

import hashlib
import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import torch
from jaxtyping import Int64
from safetensors import SafetensorError
from torch import Tensor

from sae.activations.store.buckets import Block, Buckets
from sae.activations.store.checked_files import FileRecord, read_tensors, remove_leftovers, write_tensors
from sae.activations.store.columns import scales_column, store_columns, token_columns
from sae.activations.store.configuration import StoreConfiguration
from sae.activations.store.manifest import (
    HELD_OUT,
    MANIFEST_FILE,
    SCRATCH,
    TOKENS,
    Manifest,
    PartRecord,
    Summary,
    part_file,
)
from sae.activations.store.progress import HarvestProgress
from sae.activations.store.weights import importance_by_bucket
from sae.progress import progress

__all__ = ["StoreWriter", "random_numbers"]

logger = logging.getLogger(__name__)

STATISTICS_FILE = "statistics.safetensors"
HELD_OUT_DOCUMENTS_FILE = "held-out-documents.safetensors"
WEIGHTS_FILE = "weights.safetensors"


class StoreWriter:
    """The directory of a store that is not complete yet.

    Args:
        folder: An empty or missing directory, or a store of the same configuration, which is gone on with.
        configuration: What the store is to hold.
        host_name: What the user calls the host.

    Attributes:
        manifest: What is written.
        progress: How far the texts have been run.

    Raises:
        ValueError: The directory holds something else, or cannot be written.
    """

    def __init__(self, folder: Path, configuration: StoreConfiguration, host_name: str) -> None:
        self.folder = folder
        self._scratch = folder / SCRATCH
        with self._plain_errors():
            self.manifest = _opened(folder, configuration, host_name)
            self._names = list(self.manifest.parts)
            self._buckets = Buckets(self._scratch, store_columns(configuration), self._names)
            self.progress = self._resumed()

    @property
    def is_complete(self) -> bool:
        """Whether nothing is left to do."""
        return self.manifest.summary is not None and not self.manifest.missing_parts

    def add(self, block: Block, bucket_ids: Int64[Tensor, " tokens"], progress: HarvestProgress) -> None:
        """Put the rows of one window away and note how far that is."""
        with self._plain_errors():
            self._buckets.append(block, bucket_ids, only=self._missing_buckets)
            self._note(progress)

    def end(self, progress: HarvestProgress) -> None:
        """Note that no window is to follow."""
        with self._plain_errors():
            self._note(replace(progress, is_done=True))

    def add_held_out_documents(self, documents: list[Int64[Tensor, " _"]]) -> None:
        """Write the token ids of the held-out documents as they were fed."""
        offsets = torch.tensor([0, *(len(ids) for ids in documents)]).cumsum(0)
        with self._plain_errors():
            write_tensors(
                self.folder / HELD_OUT_DOCUMENTS_FILE, {"ids": torch.cat(documents).int(), "offsets": offsets}
            )

    def finish(self) -> None:
        """Turn buckets into shards."""
        with self._plain_errors():
            self._save(replace(self.manifest, summary=self._summary()))
            weights = self._weights()
            for name in progress(self.manifest.missing_parts, "shuffling", unit="shard"):
                self._save(self.manifest.with_part(name, self._write_part(name, weights.get(name))))
                self._buckets.delete(self._names.index(name))
            shutil.rmtree(self._scratch, ignore_errors=True)

    @property
    def _missing_buckets(self) -> list[int]:
        return [self._names.index(name) for name in self.manifest.missing_parts]

    def _save(self, manifest: Manifest) -> None:
        manifest.save(self.folder)
        self.manifest = manifest

    def _note(self, progress: HarvestProgress) -> None:
        progress.save(self._scratch)
        self.progress = progress

    def _resumed(self) -> HarvestProgress:
        """The saved progress with the buckets cut back to it; from the beginning where something is lost."""
        configuration = self.manifest.configuration
        saved = None if self.is_complete else HarvestProgress.load(self._scratch)
        if saved is not None and self._buckets.cut_back(saved.bucket_sizes, only=self._missing_buckets):
            return saved
        shutil.rmtree(self._scratch, ignore_errors=True)
        if not self.is_complete:
            keep = {} if configuration.importance else self.manifest.parts
            parts = {name: keep.get(name) for name in self._names}
            # written even where nothing changes: a store that cannot be written is found out before the host runs
            self._save(replace(self.manifest, parts=parts, summary=None))
        return HarvestProgress.none(len(self._names), configuration.sites, configuration.d_model)

    def _summary(self) -> Summary:
        done = self.progress
        tensors = {}
        for site, moments in done.moments.items():
            of_site = moments.statistics(site)
            tensors[f"{site}.mean"] = of_site.mean
            for name in ("scale", "mean_norm", "mean_square"):
                tensors[f"{site}.{name}"] = torch.tensor(getattr(of_site, name), dtype=torch.float64)
        return Summary(
            done.n_documents,
            done.texts_digest,
            done.special_tokens,
            done.outliers,
            {str(site): norm for site, norm in done.median_norms.items()},
            write_tensors(self.folder / STATISTICS_FILE, tensors),
            FileRecord.of(self.folder / HELD_OUT_DOCUMENTS_FILE),
        )

    def _weights(self) -> dict[str, Tensor]:
        """Sampling weights by part, computed once for all tokens, because n-grams are counted over all of them."""
        if not self.manifest.configuration.importance:
            return {}
        path = self._scratch / WEIGHTS_FILE
        if not path.is_file():
            shards = [bucket for bucket, name in enumerate(self._names) if name != HELD_OUT]
            weights = importance_by_bucket(self._buckets, shards)
            write_tensors(path, {self._names[bucket]: of_bucket for bucket, of_bucket in weights.items()})
        return read_tensors(path)[0]

    def _write_part(self, name: str, weights: Tensor | None) -> PartRecord:
        bucket = self._names.index(name)
        order = self._order(bucket)
        columns = token_columns(self.manifest.configuration)
        tokens = {column: self._buckets.read(column, bucket)[order] for column in columns}
        if weights is not None:
            tokens["weights"] = weights[order]
        files = {TOKENS: write_tensors(self.folder / part_file(TOKENS, name), tokens)}
        for site in self.manifest.configuration.sites:
            rows = {"rows": self._buckets.read(str(site), bucket)[order]}
            if self.manifest.configuration.dtype == "int8":
                rows["scales"] = self._buckets.read(scales_column(site), bucket)[order]
            files[str(site)] = write_tensors(self.folder / part_file(str(site), name), rows)
        return PartRecord(len(order), files)

    def _order(self, bucket: int) -> Int64[Tensor, " tokens"]:
        """Random for a shard, that of the corpus for the held-out part."""
        n_tokens = int(self.progress.bucket_sizes[bucket])
        if self._names[bucket] != HELD_OUT:
            return torch.randperm(n_tokens, generator=random_numbers(self.manifest.configuration.seed, "rows", bucket))
        documents, positions = (self._buckets.read(name, bucket).long() for name in ("document_ids", "positions"))
        return (documents * self.manifest.configuration.context_tokens + positions).argsort()

    @contextmanager
    def _plain_errors(self) -> Iterator[None]:
        """A disk that is full or fails, in one line that says how to go on."""
        try:
            yield
        except (OSError, SafetensorError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise ValueError(
                f"cannot go on writing the store {self.folder} ({reason}); "
                "make room, then harvest again with the same settings to continue"
            ) from error


def random_numbers(seed: int, purpose: str, index: int) -> torch.Generator:
    """A generator of its own for every use, so that none depends on what was drawn before an interruption."""
    digest = hashlib.sha256(f"{seed}/{purpose}/{index}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))


def _opened(folder: Path, configuration: StoreConfiguration, host_name: str) -> Manifest:
    """The manifest to go on with; parts whose files are gone or cut short are to be written again."""
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"store {str(folder)!r} is a file, expected a directory; give another --out")
    folder.mkdir(parents=True, exist_ok=True)
    remove_leftovers(folder)
    if not (folder / MANIFEST_FILE).is_file():
        if any(folder.iterdir()):
            raise ValueError(f"directory {str(folder)!r} holds other files than a store; give another --out")
        return Manifest.begin(configuration, host_name)
    manifest = Manifest.load(folder)
    if not manifest.files() and HarvestProgress.load(folder / SCRATCH) is None:
        return Manifest.begin(configuration, host_name)
    if differences := manifest.configuration.differences(configuration):
        raise ValueError(
            f"store {str(folder)!r} was harvested with other settings: {differences[0]}; "
            "give the same settings to continue, or another --out"
        )
    for name, part in manifest.parts.items():
        if part is not None and not all(file.is_there(folder) for file in part.files.values()):
            logger.warning("part %s of store %s is not whole and will be written again", name, folder)
            manifest = manifest.with_part(name, None)
    if not all(file.is_there(folder) for file in manifest.files()):
        manifest = replace(manifest, summary=None)
    return manifest
