"""The models that ship with the package: found by name, checked against their manifest before use.

A bundle is the directory `sae/bundles/<name>` with `host/`, `host-broad/`, one directory of SAEs per training
text (`clinical/<site>/`, `broad/<site>/`) and `manifest.json`: size and SHA-256 of every other file.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sae.written_whole import written_whole

__all__ = ["Bundle", "bundled_names", "bundled_saes", "find_bundle", "write_manifest"]

BUNDLES = Path(__file__).parent / "bundles"
MANIFEST = "manifest.json"
REMEDY = "reinstall domain-circuits"


@dataclass(frozen=True)
class Bundle:
    """A model that ships with the package, and its SAEs.

    Attributes:
        name: What the user calls it, such as `clinic`.
        path: Its directory.
    """

    name: str
    path: Path

    @property
    def host(self) -> Path:
        """Directory of the host model."""
        return self.path / "host"

    def saes(self, text: str = "clinical") -> Path:
        """Directory of the SAEs trained on one kind of text, a sub-directory for each site.

        Raises:
            ValueError: The bundle has no SAEs of that text.
        """
        texts = sorted({file.parts[-3] for file in self.path.glob("*/*/cfg.json")})
        if text not in texts:
            raise ValueError(f"bundle {self.name!r} has no SAEs from {text!r} text, only from: {', '.join(texts)}")
        return self.path / text

    def check(self, relative_prefix: str = "") -> None:
        """Make sure that files are as they were built, by size and SHA-256.

        Args:
            relative_prefix: The file or directory about to be used, from the bundle; all files by default.

        Raises:
            ValueError: A file is missing, truncated or altered, or the manifest knows no such file.
        """
        prefix = Path(relative_prefix)
        files = {name: entry for name, entry in self._manifest().items() if Path(name).is_relative_to(prefix)}
        if not files:
            raise ValueError(f"bundle {self.name!r} lists no file {relative_prefix!r}; {REMEDY}")
        for name, entry in files.items():
            self._check_file(name, entry)

    def _check_file(self, name: str, entry: dict[str, Any]) -> None:
        path = self.path / name
        if not path.is_file():
            raise ValueError(f"bundled file {self.name}/{name} is missing; {REMEDY}")
        if path.stat().st_size != entry["bytes"]:
            raise ValueError(
                f"bundled file {self.name}/{name} is truncated: "
                f"{path.stat().st_size} bytes, expected {entry['bytes']}; {REMEDY}"
            )
        if _sha256(path) != entry["sha256"]:
            raise ValueError(f"bundled file {self.name}/{name} is altered: its SHA-256 differs; {REMEDY}")

    def _manifest(self) -> dict[str, dict[str, Any]]:
        try:
            return dict(json.loads((self.path / MANIFEST).read_text(encoding="utf-8"))["files"])
        except (OSError, ValueError, KeyError, TypeError):
            raise ValueError(f"bundle {self.name!r} has no readable {MANIFEST}; {REMEDY}") from None


def bundled_names() -> list[str]:
    """Names of the models that ship with the package."""
    if not BUNDLES.is_dir():
        return []
    return sorted(path.name for path in BUNDLES.iterdir() if (path / MANIFEST).is_file())


def find_bundle(name: str) -> Bundle | None:
    """The bundled model of that name, or None where there is none."""
    return Bundle(name, BUNDLES / name) if name in bundled_names() else None


def bundled_saes(name: str) -> Path | None:
    """Directory of the SAEs that a bundled model is used with, checked; None where no bundle has that name."""
    bundle = find_bundle(name)
    if bundle is None:
        return None
    directory = bundle.saes()
    bundle.check(directory.name)
    return directory


def write_manifest(path: Path) -> None:
    """Record size and SHA-256 of every file below `path` in its `manifest.json`."""
    files = {
        file.relative_to(path).as_posix(): {"sha256": _sha256(file), "bytes": file.stat().st_size}
        for file in sorted(path.rglob("*"))
        if file.is_file() and file != path / MANIFEST
    }
    with written_whole(path / MANIFEST) as part:
        part.write_text(json.dumps({"files": files}, indent=2) + "\n", encoding="utf-8")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
