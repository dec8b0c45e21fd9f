"""Which host a dictionary was trained on, recorded so that another host can be refused."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sae.dictionary.formats.stored import RECORD
from sae.host.host import HostModel

__all__ = ["check_recorded_host", "fingerprint", "host_record"]

BLOCK_BYTES = 2**16
BLOCKS_PER_FILE = 16


def host_record(host: HostModel) -> dict[str, Any]:
    """What an SAE's metadata keeps of its host, under `domain_circuits.host`."""
    return {"name": host.name, "fingerprint": fingerprint(host.path) if host.path else None}


def fingerprint(path: Path) -> str | None:
    """SHA-256 over the sizes of a model's weight files and evenly spaced blocks of each.

    Training changes every weight, so a few blocks tell two models apart without reading a large one whole.

    Returns:
        The hash, or None where the directory has no safetensors files.
    """
    files = sorted(path.glob("*.safetensors"))
    digest = hashlib.sha256()
    for file in files:
        size = file.stat().st_size
        digest.update(f"{size} ".encode())
        with file.open("rb") as stream:
            for block in range(BLOCKS_PER_FILE):
                stream.seek(max(0, size - BLOCK_BYTES) * block // (BLOCKS_PER_FILE - 1))
                digest.update(stream.read(BLOCK_BYTES))
    return digest.hexdigest() if files else None


def check_recorded_host(metadata: Mapping[str, Any], host: HostModel, *, source: str) -> None:
    """Refuse an SAE whose record names a host with other weights; without a record nothing is known.

    Raises:
        ValueError: The fingerprints differ.
    """
    recorded = (metadata.get(RECORD) or {}).get("host") or {}
    if not recorded.get("fingerprint"):
        return
    present = host_record(host)
    if present["fingerprint"] and present["fingerprint"] != recorded["fingerprint"]:
        raise ValueError(
            f"{source} was trained on host {recorded['name']!r} ({recorded['fingerprint'][:12]}), "
            f"not on {host.name!r} ({present['fingerprint'][:12]}); use that host or other SAEs"
        )
