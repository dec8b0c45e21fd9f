"""A transcoder: a dictionary that reads one tensor of a model and writes another."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from sae.dictionary.autoencoder import SAE
from sae.dictionary.formats.registry import read_stored
from sae.dictionary.formats.stored import StoredSAE
from sae.host.sites import Site

__all__ = ["Transcoder", "dictionary_of", "load_dictionary"]


class Transcoder(SAE):
    r"""A dictionary whose encoder reads `input_site` and whose decoder writes `site`: an MLP's input and output.

        f = encode(x_in)
        x_out = f @ W_dec + b_dec + x_in @ W_skip + error

    Everything that an `SAE` says of x holds of x_in where it is encoded and of x_out where it is decoded.

    Args:
        input_site: What the encoder reads.
        site: What the decoder writes, after `input_site` in the forward pass.
        w_skip: The linear path around the features, if the transcoder has one.
        **parts: The other arguments of `SAE`.

    Raises:
        ValueError: The sites are not in forward order, or as for `SAE`.

    Source: Dunefsky, Chlenski and Nanda 2024 (arXiv 2406.11944), section 3; the skip path, Paulo, Shabalin and Belrose
    2025 (arXiv 2501.18823).
    """

    def __init__(
        self, *, input_site: Site, site: Site, w_skip: Float[Tensor, "d_model d_model"] | None = None, **parts: Any
    ) -> None:
        super().__init__(site=site, **parts)
        if not input_site < site:
            raise ValueError(f"a transcoder cannot read {input_site} and write {site}, expected two in forward order")
        self.input_site = input_site
        self.W_skip = None if w_skip is None else w_skip.float()

    def _kind(self) -> str:
        return f"transcoder of {self.input_site}{super()._kind()}"

    def tensors(self) -> dict[str, Tensor]:
        """The five tensors under the field's names and shapes, and `W_skip` if there is one."""
        return super().tensors() | ({} if self.W_skip is None else {"W_skip": self.W_skip})

    def reconstruct(
        self, feature_acts: Float[Tensor, "*batch d_sae"], x: Float[Tensor, "*batch d_model"]
    ) -> Float[Tensor, "*batch d_model"]:
        """What the dictionary makes of `x`, which its encoder read: `decode(feature_acts)` and the skip path."""
        x_hat = super().reconstruct(feature_acts, x)
        return x_hat if self.W_skip is None else x_hat + x.float() @ self.W_skip

    @classmethod
    def from_stored(cls, stored: StoredSAE, *, path: Path | None = None) -> "Transcoder":
        """The transcoder that was read from a file or a release.

        Raises:
            ValueError: It is an SAE, or reads what only a host's norm turns into a site.
        """
        if stored.input_site is None or stored.site is None:
            raise ValueError(f"{path or 'it'} is an SAE at {stored.site}, expected a transcoder")
        if stored.reads_unweighted:
            raise ValueError(
                f"{path or 'the transcoder'} reads {stored.metadata.get('hook_name')}, the stream over its scale "
                "before the norm's weight, which the model has; add it with `sae convert IN OUT --model MODEL`"
            )
        return cls(
            input_site=stored.input_site,
            site=stored.site,
            w_skip=stored.tensors.get("W_skip"),
            encoder_rows=stored.tensors["W_enc"].T,
            b_enc=stored.tensors["b_enc"],
            decoder_rows=stored.tensors["W_dec"],
            b_dec=stored.tensors["b_dec"],
            threshold=stored.tensors["threshold"],
            top_k=stored.top_k,
            metadata=stored.metadata,
            path=path,
        )

    def stored(self) -> StoredSAE:
        """What every file layout is written from."""
        return replace(super().stored(), input_site=self.input_site)


def dictionary_of(stored: StoredSAE, *, path: Path | None = None) -> SAE:
    """The SAE or the transcoder that was read from a file or a release."""
    kind = SAE if stored.input_site is None else Transcoder
    return kind.from_stored(stored, path=path)


def load_dictionary(path: str | Path, *, device: torch.device | str = "cpu") -> SAE:
    """Read the directory of an SAE or of a transcoder.

    Raises:
        ValueError: As for `SAE.load`.
    """
    return dictionary_of(read_stored(Path(path), device), path=Path(path))
