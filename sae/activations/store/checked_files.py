"""Safetensors files that are written whole, recorded by size and SHA-256, and refused when they are another."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from sae.written_whole import written_whole

__all__ = ["FileRecord", "read_tensors", "remove_leftovers", "write_tensors", "write_text"]

REMEDY = "harvest again with the same settings to make it anew"


@dataclass(frozen=True)
class FileRecord:
    """A file as it was written.

    Attributes:
        name: Its name in the store.
        bytes: Its size.
        sha256: Of its contents.
    """

    name: str
    bytes: int
    sha256: str

    @classmethod
    def of(cls, path: Path) -> "FileRecord":
        """Of a file as it is now."""
        with path.open("rb") as stream:
            return cls(path.name, path.stat().st_size, hashlib.file_digest(stream, "sha256").hexdigest())

    def is_there(self, folder: Path) -> bool:
        """Whether a file of that name and size exists; its contents are not read."""
        path = folder / self.name
        return path.is_file() and path.stat().st_size == self.bytes

    def check(self, folder: Path, *, contents: bool = True) -> None:
        """Make sure that the file is as it was written.

        Args:
            folder: Where it lies.
            contents: Also compare the hash, which reads the whole file.

        Raises:
            ValueError: It is missing, truncated or altered; the line names it.
        """
        path = folder / self.name
        if not path.is_file():
            raise ValueError(f"{path} is missing; {REMEDY}")
        if (size := path.stat().st_size) != self.bytes:
            raise ValueError(f"{path} has {size} bytes, expected {self.bytes}: it is truncated or altered; {REMEDY}")
        if contents and FileRecord.of(path) != self:
            raise ValueError(f"{path} is altered: its SHA-256 is not the recorded one; delete it, then {REMEDY}")


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> FileRecord:
    """Write a file that is there whole or not at all, even after the machine itself has stopped."""
    contiguous = {name: tensor.contiguous() for name, tensor in tensors.items()}
    with written_whole(path) as part:
        save_file(contiguous, part, dict(metadata or {}))
    return FileRecord.of(path)


def write_text(path: Path, text: str) -> None:
    """The same for text."""
    with written_whole(path) as part:
        part.write_text(text, encoding="utf-8")


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata of a file; tensors are mapped into memory and read when they are used.

    Raises:
        ValueError: The file is no whole safetensors file.
    """
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path} is truncated or no safetensors file ({error}); {REMEDY}") from None


def remove_leftovers(folder: Path) -> None:
    """Delete what an interrupted `write_tensors` or `write_text` left behind."""
    for part in folder.glob(".*.part-*"):
        part.unlink()
