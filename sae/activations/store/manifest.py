"""`manifest.json`: what an activation store is, which of its files are written, and what each must be."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from sae.activations.store.checked_files import FileRecord, write_text
from sae.activations.store.configuration import StoreConfiguration

__all__ = ["HELD_OUT", "MANIFEST_FILE", "SCRATCH", "TOKENS", "Manifest", "PartRecord", "Summary", "part_file"]

MANIFEST_FILE = "manifest.json"
FORMAT = "domain-circuits activation store"
FORMAT_VERSION = 1
HELD_OUT = "held-out"
TOKENS = "tokens"
SCRATCH = "harvest"


@dataclass(frozen=True)
class PartRecord:
    """A shard, or the held-out part.

    Attributes:
        n_tokens: Its rows.
        files: By site, and `tokens`.
    """

    n_tokens: int
    files: Mapping[str, FileRecord]


@dataclass(frozen=True)
class Summary:
    """What the pass through the host found.

    Attributes:
        n_documents: Texts that were used.
        texts_digest: SHA-256 that stands for the texts read, in their order.
        special_tokens: Dropped for what they are, BOS and padding not counted.
        outliers: Dropped for their norm.
        median_norms: By site, what the outlier rule compares with.
        statistics: The file of statistics.
        held_out_documents: The file of the held-out documents' token ids.
    """

    n_documents: int
    texts_digest: str
    special_tokens: int
    outliers: int
    median_norms: Mapping[str, float]
    statistics: FileRecord
    held_out_documents: FileRecord


@dataclass(frozen=True)
class Manifest:
    """The state of a store.

    Attributes:
        configuration: What it holds.
        host_name: What the user called the host.
        parts: By name in their order, the held-out part last; None for one that is not written yet.
        summary: None while the texts are still going through the host.
    """

    configuration: StoreConfiguration
    host_name: str
    parts: Mapping[str, PartRecord | None]
    summary: Summary | None = None

    @classmethod
    def begin(cls, configuration: StoreConfiguration, host_name: str) -> "Manifest":
        """Of a store with nothing in it."""
        names = [f"{index:05d}" for index in range(configuration.n_shards)]
        return cls(configuration, host_name, dict.fromkeys((*names, HELD_OUT)))

    @property
    def missing_parts(self) -> list[str]:
        """Names of the parts that are not written."""
        return [name for name, part in self.parts.items() if part is None]

    def with_part(self, name: str, part: PartRecord | None) -> "Manifest":
        """The same with one part written or, for None, given up."""
        return replace(self, parts={**self.parts, name: part})

    def files(self) -> list[FileRecord]:
        """Every file that is written."""
        of_parts = [file for part in self.parts.values() if part for file in part.files.values()]
        return of_parts + ([self.summary.statistics, self.summary.held_out_documents] if self.summary else [])

    def save(self, folder: Path) -> None:
        """Replace the manifest in a directory."""
        record = {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "content_hash": self.configuration.content_hash,
            "configuration": self.configuration.to_json(),
            "host_name": self.host_name,
            "summary": None if self.summary is None else asdict(self.summary),
            "parts": {name: None if part is None else asdict(part) for name, part in self.parts.items()},
        }
        write_text(folder / MANIFEST_FILE, json.dumps(record, indent=1))

    @classmethod
    def load(cls, folder: Path) -> "Manifest":
        """The manifest of a directory.

        Raises:
            ValueError: It is missing, damaged or of another version.
        """
        path = folder / MANIFEST_FILE
        if not path.is_file():
            raise ValueError(f"{folder} is no activation store: {MANIFEST_FILE} is missing; make one with sae harvest")
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            version = record["format_version"]
            found = _from_json(record) if version == FORMAT_VERSION else None
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{path} is damaged ({error}); harvest into another directory") from None
        if found is None:
            raise ValueError(f"{path} has format_version {version!r}, expected {FORMAT_VERSION}; harvest it again")
        if found.configuration.content_hash != record["content_hash"]:
            raise ValueError(f"{path} is altered: its configuration is not what content_hash stands for; harvest again")
        return found


def part_file(column: str, part: str) -> str:
    """Name of the file that holds a site, or `tokens`, of one part."""
    return f"{column}-{part}.safetensors"


def _from_json(record: Mapping[str, Any]) -> Manifest:
    summary, parts = record["summary"], record["parts"]
    return Manifest(
        StoreConfiguration.from_json(record["configuration"]),
        record["host_name"],
        {name: None if part is None else _part(part) for name, part in parts.items()},
        None if summary is None else _summary(summary),
    )


def _part(record: Mapping[str, Any]) -> PartRecord:
    return PartRecord(record["n_tokens"], {name: FileRecord(**file) for name, file in record["files"].items()})


def _summary(record: Mapping[str, Any]) -> Summary:
    files = {name: FileRecord(**record[name]) for name in ("statistics", "held_out_documents")}
    return Summary(**{**record, **files})
