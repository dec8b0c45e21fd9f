"""What decides the contents of an activation store, and the hash that stands for it."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from sae.activations.store.quantisation import STORED_DTYPES
from sae.host.sites import Site

__all__ = ["StoreConfiguration"]


@dataclass(frozen=True)
class StoreConfiguration:
    """Two stores of equal configuration hold the same bytes, if the corpus gave the same texts."""

    host: str | None
    """Fingerprint of the host's weights; None for a host that has no directory."""
    host_dtype: str
    """Precision of the host's passes."""
    sites: tuple[Site, ...]
    """In forward order."""
    d_model: int
    corpus: str
    """SPEC of the texts."""
    n_tokens: int
    """Training tokens wanted, BOS and dropped ones not counted."""
    held_out_tokens: int
    """Tokens wanted in the held-out part, dropped ones included."""
    dtype: str = "bfloat16"
    """`bfloat16` or `int8`."""
    context_tokens: int = 1024
    """Most tokens of a document, BOS included."""
    outlier_multiple: float = 10.0
    """Times the median norm above which a token is dropped."""
    importance: bool = False
    """Whether tokens have sampling weights."""
    window_tokens: int = 65_536
    """Tokens looked ahead, among which documents of similar length share a pass; what a kill can lose."""
    batch_tokens: int = 8192
    """Most tokens of a pass, padding included."""
    shard_tokens: int = 131_072
    """Expected tokens of a shard."""
    seed: int = 0
    """Of the order of the rows, and of texts that are generated."""

    def __post_init__(self) -> None:
        if self.dtype not in STORED_DTYPES:
            raise ValueError(f"dtype is {self.dtype!r}, expected one of: {', '.join(STORED_DTYPES)}")
        if not self.sites or list(self.sites) != sorted(set(self.sites)):
            raise ValueError(f"sites are {list(map(str, self.sites))}, expected at least one, each once, sorted")
        for name in ("n_tokens", "held_out_tokens", "window_tokens", "batch_tokens", "shard_tokens"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}, expected at least 1")
        if self.context_tokens < 2:
            raise ValueError(f"context_tokens is {self.context_tokens}, expected at least 2: BOS and a token")
        if not 1 < self.outlier_multiple < float("inf"):
            raise ValueError(f"outlier_multiple is {self.outlier_multiple}, expected a finite number above 1")

    @property
    def n_shards(self) -> int:
        """Shards of the training part."""
        return -(-self.n_tokens // self.shard_tokens)

    @property
    def content_hash(self) -> str:
        """SHA-256 of the configuration as JSON with sorted keys and no spaces."""
        text = json.dumps(self.to_json(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def to_json(self) -> dict[str, Any]:
        """The configuration in JSON types."""
        return {**asdict(self), "sites": [str(site) for site in self.sites]}

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> "StoreConfiguration":
        """The inverse of `to_json`.

        Raises:
            ValueError: A key is missing or unknown, or a value out of range.
        """
        expected = {field.name for field in fields(cls)}
        if set(record) != expected:
            raise ValueError(f"the configuration has keys {sorted(record)}, expected {sorted(expected)}")
        return cls(**{**record, "sites": tuple(Site.parse(site) for site in record["sites"])})

    def differences(self, other: "StoreConfiguration") -> list[str]:
        """What differs, one phrase each: `dtype 'int8' instead of 'bfloat16'`."""
        ours, theirs = self.to_json(), other.to_json()
        return [f"{name} {theirs[name]!r} instead of {ours[name]!r}" for name in ours if ours[name] != theirs[name]]
