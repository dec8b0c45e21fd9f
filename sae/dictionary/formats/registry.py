"""Which file layouts there are, and which of them a directory has."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from sae.dictionary.formats import dictionary_learning, gemma_scope, llama_scope, saelens
from sae.dictionary.formats.stored import StoredSAE
from sae.host.sites import Site

__all__ = ["FORMATS", "WRITERS", "Format", "is_sae_directory", "read_site", "read_stored"]


@dataclass(frozen=True)
class Format:
    """One file layout.

    Attributes:
        name: What the user calls it.
        files: A directory that has all of these is of this layout.
        read: Reads such a directory, its tensors to a device.
        read_site: The site of such a directory, without its weights.
    """

    name: str
    files: tuple[str, ...]
    read: Callable[[Path, torch.device | str], StoredSAE]
    read_site: Callable[[Path], Site | None]


FORMATS = (
    Format("saelens", saelens.FILES, saelens.read_saelens, saelens.read_saelens_site),
    Format(
        "dictionary_learning",
        dictionary_learning.FILES,
        dictionary_learning.read_dictionary_learning,
        dictionary_learning.read_dictionary_learning_site,
    ),
    Format("gemma_scope", gemma_scope.FILES, gemma_scope.read_gemma_scope, gemma_scope.read_gemma_scope_site),
    Format("gemma_scope_2", gemma_scope.FILES_2, gemma_scope.read_gemma_scope_2, gemma_scope.read_gemma_scope_2_site),
    Format("llama_scope", llama_scope.FILES, llama_scope.read_llama_scope, llama_scope.read_llama_scope_site),
)

WRITERS: dict[str, Callable[[Path, StoredSAE], None]] = {
    "saelens": saelens.write_saelens,
    "dictionary_learning": dictionary_learning.write_dictionary_learning,
    "gemma_scope": gemma_scope.write_gemma_scope,
}


def is_sae_directory(path: Path) -> bool:
    """Whether a directory looks like an SAE; reading it may still find it damaged."""
    return _format_of(path) is not None


def read_stored(path: Path, device: torch.device | str = "cpu") -> StoredSAE:
    """Read an SAE directory of any known layout.

    Raises:
        ValueError: It is of none, damaged, or of a kind that cannot be read; the line names the file.
    """
    return _known_format(path).read(path, device)


def read_site(path: Path) -> Site | None:
    """The site of an SAE directory, read without its weights.

    Raises:
        ValueError: The directory is no SAE, or its configuration is damaged.
    """
    return _known_format(path).read_site(path)


def _format_of(path: Path) -> Format | None:
    return next((known for known in FORMATS if all((path / file).is_file() for file in known.files)), None)


def _known_format(path: Path) -> Format:
    known = _format_of(path)
    if known is None:
        layouts = ", ".join(f"{' and '.join(known.files)} ({known.name})" for known in FORMATS)
        raise ValueError(f"{path} is no SAE: expected a directory with {layouts}")
    return known
