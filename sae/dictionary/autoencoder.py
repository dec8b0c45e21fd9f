"""A sparse autoencoder with JumpReLU or TopK activations: encode, decode, save, load. No training state."""

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from sae.dictionary.feature_acts import FeatureActs
from sae.dictionary.formats.registry import read_stored
from sae.dictionary.formats.saelens import write_saelens
from sae.dictionary.formats.stored import StoredSAE
from sae.host.sites import Site

__all__ = ["SAE"]

MAX_DENSE_BYTES = 64 * 2**20


class SAE:
    r"""A sparse autoencoder at one site of a host model.

        pi = x @ W_enc + b_enc
        f  = relu(pi) * (pi > threshold)                     JumpReLU, Rajamanoharan et al. 2024, eq. 3
        x_hat = f @ W_dec + b_dec

    A TopK dictionary (Gao et al. 2024, arXiv 2406.04093) has no thresholds: of `relu(pi)` the `top_k` largest of each
    token are kept. Which of its features are active then depends on all of them.

    `b_dec` is not subtracted from the input. Both weight matrices are stored with one row per feature,
    because every sparse operation reads whole features; `W_enc` is a transposed view. All arithmetic is in
    float32.

    Args:
        encoder_rows: Row i is the direction that feature i reads.
        b_enc: Encoder bias.
        decoder_rows: Row i is the direction that feature i writes.
        b_dec: Decoder bias, added to every reconstruction.
        threshold: A feature is active where its pre-activation exceeds this; not negative.
        top_k: Most active features of a token, for a TopK dictionary, whose thresholds are all 0.
        site: Where in the host the dictionary belongs, if known.
        metadata: Free-form record, written with the weights; values must be JSON.
        path: Directory that the SAE was read from, if any.

    Raises:
        ValueError: The shapes do not fit together, a threshold is negative or not finite, or `top_k` is not from 1 to
            d_sae or stands beside thresholds.
    """

    input_site: Site | None = None
    """What the encoder reads, where that is not what the decoder writes."""

    def __init__(
        self,
        *,
        encoder_rows: Float[Tensor, "d_sae d_model"],
        b_enc: Float[Tensor, " d_sae"],
        decoder_rows: Float[Tensor, "d_sae d_model"],
        b_dec: Float[Tensor, " d_model"],
        threshold: Float[Tensor, " d_sae"],
        top_k: int | None = None,
        site: Site | None = None,
        metadata: Mapping[str, Any] | None = None,
        path: Path | None = None,
    ) -> None:
        self.encoder_rows = encoder_rows.float().contiguous()
        self.b_enc = b_enc.float()
        self.decoder_rows = decoder_rows.float().contiguous()
        self.b_dec = b_dec.float()
        self.threshold = threshold.float()
        self.top_k = top_k
        self.site = site
        self.metadata = dict(metadata or {})
        self.path = path
        self._check_shapes()
        self._check_activation()

    def _check_shapes(self) -> None:
        d_sae, d_model = self.encoder_rows.shape
        expected = {
            "b_enc": (d_sae,),
            "decoder_rows": (d_sae, d_model),
            "b_dec": (d_model,),
            "threshold": (d_sae,),
        }
        for name, shape in expected.items():
            found = tuple(getattr(self, name).shape)
            if found != shape:
                raise ValueError(f"{name} has shape {found}, expected {shape} to fit the encoder's {d_sae} x {d_model}")

    def _check_activation(self) -> None:
        if not bool(((self.threshold >= 0) & self.threshold.isfinite()).all()):
            raise ValueError("threshold has negative or non-finite entries, expected every entry >= 0")
        if self.top_k is None:
            return
        if not 1 <= self.top_k <= self.d_sae:
            raise ValueError(f"top_k is {self.top_k}, expected an integer from 1 to d_sae, {self.d_sae}")
        if bool(self.threshold.any()):
            raise ValueError(f"threshold is not 0 beside top_k {self.top_k}, expected one or the other")

    def __repr__(self) -> str:
        top_k = f", top_k={self.top_k}" if self.top_k else ""
        return f"SAE(site={self.site}, d_model={self.d_model}, d_sae={self.d_sae}{top_k})"

    @property
    def d_model(self) -> int:
        """Width of the activations that it reads and writes."""
        return self.encoder_rows.shape[1]

    @property
    def d_sae(self) -> int:
        """Number of features."""
        return self.encoder_rows.shape[0]

    @property
    def W_enc(self) -> Float[Tensor, "d_model d_sae"]:  # noqa: N802 - the field's name
        """Encoder weights, a view."""
        return self.encoder_rows.T

    @property
    def W_dec(self) -> Float[Tensor, "d_sae d_model"]:  # noqa: N802 - the field's name
        """Decoder weights, a view."""
        return self.decoder_rows

    @property
    def device(self) -> torch.device:
        """Where the weights lie."""
        return self.encoder_rows.device

    def tensors(self) -> dict[str, Tensor]:
        """The five tensors under the field's names and shapes."""
        return {
            "W_enc": self.W_enc,
            "b_enc": self.b_enc,
            "W_dec": self.W_dec,
            "b_dec": self.b_dec,
            "threshold": self.threshold,
        }

    @cached_property
    def content_hash(self) -> str:
        """SHA-256 over shapes and float32 values of the tensors, and `top_k`: equal hashes, equal dictionaries."""
        digest = hashlib.sha256(self._kind().encode())
        for name, tensor in self.tensors().items():
            digest.update(f"{name}{tuple(tensor.shape)}".encode())
            # feature-major bytes: no transposed copy of a large encoder
            stored = self.encoder_rows if name == "W_enc" else tensor
            digest.update(stored.detach().cpu().contiguous().numpy().data)
        return digest.hexdigest()

    def _kind(self) -> str:
        """What sets dictionaries of equal tensors apart."""
        return f"top_k{self.top_k}" if self.top_k else ""

    def pre_acts(self, x: Float[Tensor, "*batch d_model"]) -> Float[Tensor, "*batch d_sae"]:
        """Pre-activations `x @ W_enc + b_enc`."""
        self._check_width(x)
        return functional.linear(x.float(), self.encoder_rows, self.b_enc)

    def encode(self, x: Float[Tensor, "*batch d_model"]) -> Float[Tensor, "*batch d_sae"]:
        """Feature activations, dense.

        Args:
            x: Activations of the host at the SAE's site, in the host's own units.

        Raises:
            ValueError: `x` is of another width than the dictionary.
        """
        feature_acts = _jump_relu(self.pre_acts(x), self.threshold)
        return feature_acts if self.top_k is None else _largest(feature_acts, self.top_k)

    @torch.no_grad()
    def encode_sparse(self, x: Float[Tensor, "tokens d_model"]) -> FeatureActs:
        """Feature activations, sparse and without gradient; at most 64 MB of dense activations at a time."""
        chunk_tokens = max(1, MAX_DENSE_BYTES // (4 * self.d_sae))
        return FeatureActs.concatenate([FeatureActs.from_dense(self.encode(rows)) for rows in x.split(chunk_tokens)])

    def encode_features(
        self, x: Float[Tensor, "*batch d_model"], feature_ids: Int[Tensor, " chosen"]
    ) -> Float[Tensor, "*batch chosen"]:
        """Activations of the chosen features only, at the cost of those; TopK must encode all to know its largest."""
        if self.top_k is not None:
            return self.encode(x)[..., feature_ids]
        self._check_width(x)
        pre_acts = functional.linear(x.float(), self.encoder_rows[feature_ids], self.b_enc[feature_ids])
        return _jump_relu(pre_acts, self.threshold[feature_ids])

    def decode(self, feature_acts: Float[Tensor, "*batch d_sae"]) -> Float[Tensor, "*batch d_model"]:
        """The reconstruction `feature_acts @ W_dec + b_dec`."""
        return feature_acts.float() @ self.decoder_rows + self.b_dec

    def reconstruct(
        self, feature_acts: Float[Tensor, "*batch d_sae"], x: Float[Tensor, "*batch d_model"]
    ) -> Float[Tensor, "*batch d_model"]:
        """What the dictionary makes of `x`, which its encoder read: here `decode(feature_acts)`."""
        self._check_width(x)
        return self.decode(feature_acts)

    def decode_sparse(self, feature_acts: FeatureActs) -> Float[Tensor, "tokens d_model"]:
        """The reconstruction from sparse activations; tokens without an active feature give `b_dec`."""
        weighted_rows = functional.embedding_bag(
            feature_acts.feature_ids,
            self.decoder_rows,
            feature_acts.token_offsets,
            mode="sum",
            per_sample_weights=feature_acts.values.float(),
            include_last_offset=True,
        )
        return weighted_rows + self.b_dec

    def _check_width(self, x: Tensor) -> None:
        if x.shape[-1] != self.d_model:
            raise ValueError(
                f"the activations have d_model {x.shape[-1]} but the SAE at {self.site} has d_model "
                f"{self.d_model}; use the host that the SAE was trained on"
            )

    def to(self, device: torch.device | str) -> "SAE":
        """The same dictionary on another device."""
        return self._with_tensors({name: tensor.to(device) for name, tensor in self.tensors().items()})

    def rounded(self, dtype: torch.dtype = torch.bfloat16) -> "SAE":
        """The dictionary that `save` writes: weight matrices rounded, biases and threshold kept."""
        weights = {name: tensor for name, tensor in self.tensors().items() if name.startswith("W_")}
        return self._with_tensors({name: weight.to(dtype).float() for name, weight in weights.items()})

    def with_threshold(self, threshold: Float[Tensor, " d_sae"]) -> "SAE":
        """The JumpReLU dictionary with other thresholds; one that was TopK no longer is."""
        stored = self.stored()
        stored = replace(stored, tensors=stored.tensors | {"threshold": threshold}, top_k=None)
        return self.from_stored(stored, path=self.path)

    def with_metadata(self, metadata: Mapping[str, Any]) -> "SAE":
        """The same dictionary with another record."""
        return self.from_stored(replace(self.stored(), metadata=dict(metadata)), path=self.path)

    def _with_tensors(self, tensors: Mapping[str, Tensor]) -> "SAE":
        return self.from_stored(replace(self.stored(), tensors=self.tensors() | dict(tensors)), path=self.path)

    @classmethod
    def load(cls, path: str | Path, *, device: torch.device | str = "cpu") -> "SAE":
        """Read an SAE directory; its files tell the layout.

        Args:
            path: Directory of SAELens (`cfg.json`, `sae_weights.safetensors`), dictionary_learning (`config.json`,
                `ae.pt`), Gemma Scope (`params.npz`; `config.json`, `params.safetensors`) or Llama Scope
                (`hyperparams.json`, `checkpoints/final.safetensors`).
            device: Where to put the weights.

        Returns:
            The dictionary with its weights in float32, whatever the precision on disk. It reads the host's own
            activations: norms, input scale and input bias are folded into the weights.

        Raises:
            ValueError: The directory is no SAE, is damaged, or is of a kind that is neither JumpReLU, ReLU nor TopK.
        """
        return cls.from_stored(read_stored(Path(path), device), path=Path(path))

    @classmethod
    def from_stored(cls, stored: StoredSAE, *, path: Path | None = None) -> "SAE":
        """The dictionary that was read from a file or a release.

        Raises:
            ValueError: It is a transcoder.
        """
        if stored.input_site is not None:
            raise ValueError(
                f"{path or 'it'} is a transcoder from {stored.input_site} to {stored.site}, expected an SAE"
            )
        return cls(
            encoder_rows=stored.tensors["W_enc"].T,
            b_enc=stored.tensors["b_enc"],
            decoder_rows=stored.tensors["W_dec"],
            b_dec=stored.tensors["b_dec"],
            threshold=stored.tensors["threshold"],
            top_k=stored.top_k,
            site=stored.site,
            metadata=stored.metadata,
            path=path,
        )

    def stored(self) -> StoredSAE:
        """What every file layout is written from."""
        return StoredSAE(self.tensors(), self.site, self.metadata, self.top_k)

    def save(self, path: str | Path, *, weight_dtype: torch.dtype = torch.bfloat16) -> None:
        """Write an SAELens directory, from which sae-lens and `SAE.load` read the same numbers.

        Args:
            path: Directory to write; made if missing.
            weight_dtype: Precision of the two weight matrices on disk, bfloat16 or float32.
                Biases and threshold are always float32.

        Raises:
            ValueError: The precision is another, or the directory cannot be written.
        """
        write_saelens(Path(path), self.stored(), weight_dtype=weight_dtype)


def _jump_relu(
    pre_acts: Float[Tensor, "*batch features"], threshold: Float[Tensor, " features"]
) -> Float[Tensor, "*batch features"]:
    return pre_acts.relu() * (pre_acts > threshold)


def _largest(feature_acts: Float[Tensor, "*batch d_sae"], k: int) -> Float[Tensor, "*batch d_sae"]:
    """The k largest of each token, all others 0."""
    values, feature_ids = feature_acts.topk(k, dim=-1, sorted=False)
    return torch.zeros_like(feature_acts).scatter(-1, feature_ids, values)
