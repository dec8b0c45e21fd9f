"""What every file layout is brought to when it is read, and the checks that all of them share."""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from sae.dictionary.hook_names import hf_hook_name, hook_name, input_site_from_hook_names, site_from_hook_name
from sae.host.sites import Site

__all__ = [
    "AFFINE_NAMES",
    "RECORD",
    "StoredSAE",
    "check_form",
    "check_names",
    "complete_metadata",
    "read_json",
    "read_safetensors",
    "recorded_input_site",
    "recorded_site",
]

RECORD = "domain_circuits"
SAELENS_VERSION = "6.54.12"
AFFINE_NAMES = ("W_enc", "b_enc", "W_dec", "b_dec")
"""The tensors that every SAE has; a JumpReLU SAE has `threshold` besides."""


@dataclass(frozen=True, eq=False)
class StoredSAE:
    """An SAE or transcoder of any layout as plain tensors whose encoder reads the host's own activations.

    Attributes:
        tensors: `W_enc`, `b_enc`, `W_dec`, `b_dec`, `threshold`, as `SAE` defines them; a transcoder may have `W_skip`.
        site: Where the dictionary belongs, if its record or its hook name says so.
        metadata: The SAELens metadata; what this project adds lies under `domain_circuits`.
        top_k: Most features that a token may have, for a TopK SAE.
        input_site: What the encoder reads, for a transcoder; an SAE reads what it writes.
        reads_unweighted: Whether it reads the input site before the norm's weight and bias, which are the host's.
    """

    tensors: dict[str, Tensor]
    site: Site | None
    metadata: dict[str, Any]
    top_k: int | None = None
    input_site: Site | None = None
    reads_unweighted: bool = False


def read_json(path: Path) -> dict[str, Any]:
    """A file that holds one JSON object.

    Raises:
        ValueError: It is missing or holds something else.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"{path} cannot be read ({error.strerror}); copy the SAE again") from None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not valid JSON ({error}); copy the SAE again") from None
    if not isinstance(content, dict):
        raise ValueError(f"{path} holds a {type(content).__name__}, expected a JSON object")
    return content


def read_safetensors(path: Path, device: torch.device | str) -> dict[str, Tensor]:
    """All tensors of a file.

    Raises:
        ValueError: It is truncated or no safetensors file.
    """
    try:
        with safe_open(path, framework="pt", device=str(device)) as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path} is truncated or no safetensors file ({error}); copy or train it again") from None


def check_names(tensors: Mapping[str, Tensor], expected: Collection[str], source: str) -> None:
    """Refuse tensors that are missing or too many.

    Raises:
        ValueError: The line lists both sides.
    """
    if sorted(tensors) != sorted(expected):
        raise ValueError(f"the weights of {source} hold {sorted(tensors)}, expected {sorted(expected)}")


def check_form(
    tensors: Mapping[str, Tensor], source: str, *, d_model: int | None = None, d_sae: int | None = None
) -> None:
    """Refuse tensors of the wrong shape, values that are no numbers, and thresholds below 0.

    Args:
        tensors: Under the field's names; `threshold` may be absent.
        source: Where they come from, for messages.
        d_model: Width that the configuration names; without it the decoder's.
        d_sae: Number of features that the configuration names; without it the decoder's.

    Raises:
        ValueError: The line names the tensor.
    """
    if tensors["W_dec"].ndim != 2:
        raise ValueError(f"W_dec of {source} has shape {tuple(tensors['W_dec'].shape)}, expected (d_sae, d_model)")
    d_sae, d_model = d_sae or tensors["W_dec"].shape[0], d_model or tensors["W_dec"].shape[1]
    shapes = {"W_enc": (d_model, d_sae), "W_dec": (d_sae, d_model), "b_dec": (d_model,), "W_skip": (d_model, d_model)}
    for name, tensor in tensors.items():
        shape = shapes.get(name, (d_sae,))
        if tuple(tensor.shape) != shape:
            raise ValueError(
                f"{name} of {source} has shape {tuple(tensor.shape)}, expected {shape} "
                f"for d_model {d_model} and d_sae {d_sae}"
            )
        if not bool(tensor.isfinite().all()):
            raise ValueError(f"{name} of {source} has NaN or infinite entries; train the SAE again")
    _check_threshold(tensors.get("threshold"), source)


def _check_threshold(threshold: Tensor | None, source: str) -> None:
    if threshold is not None and (n_negative := int((threshold < 0).sum())):
        raise ValueError(
            f"threshold of {source} has {n_negative} negative entries (lowest {float(threshold.min()):g}), expected "
            "every entry >= 0; calibrate it, or set them to 0, which a ReLU makes the same function"
        )


def recorded_site(metadata: Mapping[str, Any]) -> Site | None:
    """The site that our own record names, else the one that the hook name means; a transcoder's is where it writes."""
    record = metadata.get(RECORD)
    if isinstance(record, dict) and record.get("site"):
        return Site.parse(str(record["site"]))
    names = (metadata.get(key) for key in ("hook_name_out", "hook_name", "hf_hook_name"))
    return site_from_hook_name(str(next(filter(None, names), "")))


def recorded_input_site(metadata: Mapping[str, Any]) -> Site | None:
    """The site that a transcoder reads, by our own record or by its hook name."""
    record = metadata.get(RECORD)
    if isinstance(record, dict) and record.get("input_site"):
        return Site.parse(str(record["input_site"]))
    return input_site_from_hook_names(*(str(metadata.get(key) or "") for key in ("hook_name", "hf_hook_name")))


def complete_metadata(stored: StoredSAE) -> dict[str, Any]:
    """The metadata with the keys that sae-lens looks for, and the site in our own record."""
    site = stored.site
    defaults: dict[str, Any] = {
        "sae_lens_version": SAELENS_VERSION,
        "sae_lens_training_version": None,
        "model_name": None,
        "hook_name": hook_name(site) if site else None,
        "hf_hook_name": hf_hook_name(site) if site else None,
        "context_size": None,
        "prepend_bos": True,
    }
    record = dict(stored.metadata.get(RECORD) or {}) | {"site": str(site) if site else None}
    if site and stored.input_site:
        defaults |= {"hook_name": hook_name(stored.input_site), "hook_name_out": hook_name(site)}
        defaults |= {"hf_hook_name": None, "hf_hook_name_out": hf_hook_name(site)}
        record |= {"input_site": str(stored.input_site)}
    return defaults | stored.metadata | {RECORD: record}
