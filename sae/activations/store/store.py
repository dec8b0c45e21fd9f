"""A store of activations on disk: open it, read its tokens, see what is missing."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from jaxtyping import Float32, Int32, Int64
from torch import Tensor

from sae.activations.statistics import SiteStatistics
from sae.activations.store.checked_files import FileRecord, read_tensors
from sae.activations.store.configuration import StoreConfiguration
from sae.activations.store.manifest import HELD_OUT, SCRATCH, TOKENS, Manifest
from sae.activations.store.progress import HarvestProgress
from sae.activations.store.quantisation import QuantisedRows
from sae.dictionary.host_record import host_record
from sae.host.host import HostModel
from sae.host.sites import Site

__all__ = ["ActivationStore", "StoredTokens"]


@dataclass(frozen=True, eq=False)
class StoredTokens:
    """What is known of tokens besides their activations, one row a token.

    Attributes:
        token_ids: The token.
        next_ids: The token after it, or -1 at the end of its document.
        document_ids: Which text of the corpus it is from, blank ones not counted.
        positions: Position in the document as it was fed; BOS is at 0.
        weights: Relative probability to be drawn, in stores with importance; the held-out part has none.
    """

    token_ids: Int32[Tensor, " tokens"]
    next_ids: Int32[Tensor, " tokens"]
    document_ids: Int32[Tensor, " tokens"]
    positions: Int32[Tensor, " tokens"]
    weights: Float32[Tensor, " tokens"] | None = None


class ActivationStore:
    """Activations of a corpus, in random order, with a held-out part of other documents.

    A file is compared with its recorded SHA-256 when it is first read, and mapped into memory from then on.

    Args:
        path: The directory.
        manifest: What it says of itself.
    """

    def __init__(self, path: Path, manifest: Manifest) -> None:
        self.path = path
        self.manifest = manifest
        self._tensors: dict[tuple[str, str], dict[str, Tensor]] = {}

    @classmethod
    def open(cls, path: str | Path) -> "ActivationStore":
        """Open a directory, complete or not; `missing` says which.

        Raises:
            ValueError: It is no store, or its manifest is damaged.
        """
        return cls(Path(path), Manifest.load(Path(path)))

    @property
    def configuration(self) -> StoreConfiguration:
        """What the store holds, or is to hold once it is complete."""
        return self.manifest.configuration

    @property
    def content_hash(self) -> str:
        """SHA-256 that stands for the settings and, once they are read, for the texts."""
        texts = self.manifest.summary.texts_digest if self.manifest.summary else ""
        return hashlib.sha256(f"{self.configuration.content_hash} {texts}".encode()).hexdigest()

    @property
    def sites(self) -> tuple[Site, ...]:
        """Where the activations are from, in forward order."""
        return self.configuration.sites

    @property
    def d_model(self) -> int:
        """Width of the activations."""
        return self.configuration.d_model

    @property
    def n_tokens(self) -> int:
        """Training tokens in the shards that are written."""
        return int(self._offsets[-1])

    @property
    def missing(self) -> str | None:
        """One line on what is not there and what to do, or None for a complete store."""
        manifest, remedy = self.manifest, "harvest again with the same settings to continue"
        absent = [file.name for file in manifest.files() if not file.is_there(self.path)]
        if absent:
            more = f" and {len(absent) - 1} more" if len(absent) > 1 else ""
            return f"store {self.path} lacks {absent[0]}{more}, or has it cut short; {remedy}"
        if manifest.summary is None:
            progress = HarvestProgress.load(self.path / SCRATCH)
            n_tokens = progress.n_tokens if progress else 0
            return f"store {self.path} has {n_tokens} of {self.configuration.n_tokens} tokens; {remedy}"
        if names := manifest.missing_parts:
            return f"store {self.path} has {len(names)} of {len(manifest.parts)} parts still to be written; {remedy}"
        return None

    def check_complete(self) -> None:
        """Make sure that nothing is missing.

        Raises:
            ValueError: Something is.
        """
        if self.missing is not None:
            raise ValueError(self.missing)

    def check_host(self, host: HostModel) -> None:
        """Make sure that the activations are those of a host.

        Raises:
            ValueError: The store was made with other weights or another width.
        """
        present, recorded = host_record(host)["fingerprint"], self.configuration.host
        is_other = present is not None and recorded is not None and present != recorded
        if is_other or host.d_model != self.d_model:
            raise ValueError(
                f"store {self.path} was harvested from host {self.manifest.host_name!r} "
                f"({(recorded or 'unknown')[:12]}, d_model {self.d_model}), not from {host.name!r} "
                f"({(present or 'unknown')[:12]}, d_model {host.d_model}); use that host or harvest again"
            )

    def check_site(self, site: Site) -> None:
        """Make sure that the store has a site.

        Raises:
            ValueError: It has not; the line names those that it has.
        """
        if site not in self.sites:
            raise ValueError(f"store {self.path} has no site {site}, only: {', '.join(map(str, self.sites))}")

    def verify(self) -> None:
        """Read every file and compare it with its recorded hash.

        Raises:
            ValueError: The store is not complete, or a file is altered; the line names it.
        """
        self.check_complete()
        for file in self.manifest.files():
            file.check(self.path)

    def statistics(self, site: Site) -> SiteStatistics:
        """Mean and spread of the training tokens at a site, as computed when the store was made."""
        self.check_site(site)
        return SiteStatistics(
            self._statistics[f"{site}.mean"].clone(),
            **{name: float(self._statistics[f"{site}.{name}"]) for name in ("scale", "mean_norm", "mean_square")},
        )

    def rows(self, site: Site, indices: Int64[Tensor, " chosen"]) -> Float32[Tensor, "chosen d_model"]:
        """Activations of chosen training tokens.

        Args:
            site: Where.
            indices: Rows in [0, n_tokens), in any order; ascending ones are read fastest.
        """
        shards = torch.searchsorted(self._offsets, indices, right=True) - 1
        rows = torch.empty(len(indices), self.d_model)
        for shard in shards.unique().tolist():
            of_shard = shards == shard
            rows[of_shard] = self._stored(site, self._shards[shard], indices[of_shard] - self._offsets[shard])
        return rows

    def span(self, site: Site, start: int, stop: int) -> Float32[Tensor, "_ d_model"]:
        """Activations of the training tokens from `start` up to `stop`, both in [0, n_tokens]."""
        parts = []
        for name, begin, end in self._spans():
            if start < end and begin < stop:
                chosen = slice(max(start, begin) - begin, min(stop, end) - begin)
                parts.append(self._stored(site, name, chosen))
        return torch.cat(parts) if parts else torch.empty(0, self.d_model)

    def held_out(self, site: Site) -> Float32[Tensor, "held_out_tokens d_model"]:
        """Activations of the held-out tokens, in the order of their documents."""
        return self._stored(site, HELD_OUT, slice(None))

    def held_out_documents(self) -> list[Int64[Tensor, " _"]]:
        """Token ids of the held-out documents as they were fed, BOS and dropped tokens included."""
        self.check_complete()
        assert self.manifest.summary is not None
        stored = self._checked(self.manifest.summary.held_out_documents)
        return list(stored["ids"].long().tensor_split(stored["offsets"][1:-1]))

    @cached_property
    def tokens(self) -> StoredTokens:
        """Ids, documents, positions and weights of the training tokens."""
        return _joined([self._part(TOKENS, name) for name in self._shards])

    @cached_property
    def held_out_tokens(self) -> StoredTokens:
        """The same of the held-out tokens."""
        return _joined([self._part(TOKENS, HELD_OUT)])

    @cached_property
    def _shards(self) -> list[str]:
        return [name for name, part in self.manifest.parts.items() if part is not None and name != HELD_OUT]

    @cached_property
    def _offsets(self) -> Int64[Tensor, " offsets"]:
        sizes = [part.n_tokens for name in self._shards if (part := self.manifest.parts[name])]
        return torch.tensor([0, *sizes]).cumsum(0)

    @cached_property
    def _statistics(self) -> dict[str, Tensor]:
        self.check_complete()
        assert self.manifest.summary is not None
        return self._checked(self.manifest.summary.statistics)

    def _spans(self) -> Iterator[tuple[str, int, int]]:
        """Name, first row and end of each shard."""
        offsets = self._offsets.tolist()
        return zip(self._shards, offsets, offsets[1:], strict=False)

    def _stored(self, site: Site, name: str, chosen: slice | Int64[Tensor, " chosen"]) -> Float32[Tensor, "_ d_model"]:
        self.check_site(site)
        part = self._part(str(site), name)
        scales = part["scales"][chosen] if "scales" in part else None
        return QuantisedRows(part["rows"][chosen], scales).decode()

    def _part(self, column: str, name: str) -> dict[str, Tensor]:
        if (column, name) not in self._tensors:
            part = self.manifest.parts[name]
            if part is None:
                raise ValueError(self.missing)
            self._tensors[column, name] = self._checked(part.files[column])
        return self._tensors[column, name]

    def _checked(self, file: FileRecord) -> dict[str, Tensor]:
        file.check(self.path)
        return read_tensors(self.path / file.name)[0]


def _joined(parts: list[dict[str, Tensor]]) -> StoredTokens:
    names = [name for name in StoredTokens.__dataclass_fields__ if name in parts[0]]
    return StoredTokens(**{name: torch.cat([part[name] for part in parts]) for name in names})
