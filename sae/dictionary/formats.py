"""SAEs on disk: the SAELens directory of `cfg.json` and `sae_weights.safetensors`, read and written."""

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from sae.dictionary.hook_names import hf_hook_name, hook_name, site_from_hook_name
from sae.host.sites import Site

__all__ = [
    "RECORD",
    "StoredSAE",
    "from_saelens",
    "is_sae_directory",
    "read_saelens",
    "read_site",
    "write_saelens",
]

CONFIG_FILE = "cfg.json"
WEIGHTS_FILE = "sae_weights.safetensors"
RECORD = "domain_circuits"
SAELENS_VERSION = "6.54.12"
# before version 6 SAELens kept these beside the architecture instead of under "metadata"
OLD_METADATA_KEYS = (
    "model_name",
    "hook_name",
    "hook_head_index",
    "context_size",
    "prepend_bos",
    "dataset_path",
)


@dataclass(frozen=True)
class StoredSAE:
    """What an SAE directory holds, brought to JumpReLU form in float32.

    Attributes:
        tensors: `W_enc`, `b_enc`, `W_dec`, `b_dec`, `threshold`.
        site: Where the dictionary belongs, if its record or its hook name says so.
        metadata: The SAELens metadata; what this project adds lies under `domain_circuits`.
    """

    tensors: dict[str, Tensor]
    site: Site | None
    metadata: dict[str, Any]


def is_sae_directory(path: Path) -> bool:
    """Whether a directory looks like an SAE; reading it may still find it damaged."""
    return (path / CONFIG_FILE).is_file() and (path / WEIGHTS_FILE).is_file()


def read_saelens(path: Path, *, device: torch.device | str = "cpu") -> StoredSAE:
    """Read an SAELens directory of architecture jumprelu or standard.

    Raises:
        ValueError: A file is missing, damaged or of an unsupported kind; the line names the file.
    """
    config = _read_config(path)
    return from_saelens(config, _read_tensors(path / WEIGHTS_FILE, device), source=str(path))


def read_site(path: Path) -> Site | None:
    """The site of an SAE directory, read without its weights."""
    return _site(_metadata(_read_config(path)))


def from_saelens(config: Mapping[str, Any], tensors: Mapping[str, Tensor], *, source: str) -> StoredSAE:
    """What an SAELens configuration and its weights describe, in JumpReLU form.

    Args:
        config: Contents of `cfg.json`.
        tensors: Weights under their SAELens names.
        source: Where they come from, for messages.

    Raises:
        ValueError: The kind of SAE is not supported, or the weights do not fit the configuration.
    """
    architecture = _check_supported(config, source)
    names = ["W_dec", "W_enc", "b_dec", "b_enc"] + (["threshold"] if architecture == "jumprelu" else [])
    if sorted(tensors) != sorted(names):
        raise ValueError(f"the weights of {source} hold {sorted(tensors)}, expected {sorted(names)}")
    _check_weights(config, tensors, source)
    metadata = _metadata(config)
    input_bias = bool(config.get("apply_b_dec_to_input", True))
    return StoredSAE(_jump_relu_form(tensors, input_bias=input_bias), _site(metadata), metadata)


def _metadata(config: Mapping[str, Any]) -> dict[str, Any]:
    return config.get("metadata") or {key: config[key] for key in OLD_METADATA_KEYS if key in config}


def _site(metadata: Mapping[str, Any]) -> Site | None:
    """The site that our own record names, else the one that the hook name means."""
    record = metadata.get(RECORD) or {}
    if record.get("site"):
        return Site.parse(record["site"])
    return site_from_hook_name(metadata.get("hook_name") or metadata.get("hf_hook_name") or "")


def _jump_relu_form(tensors: Mapping[str, Tensor], *, input_bias: bool) -> dict[str, Tensor]:
    """The same function as a JumpReLU SAE in float32 whose encoder reads the plain input.

    A ReLU SAE has threshold 0. So has a feature with a negative threshold, because SAELens applies the ReLU first.
    """
    form = {name: tensor.float() for name, tensor in tensors.items()}
    form["threshold"] = form.get("threshold", torch.zeros_like(form["b_enc"])).clamp(min=0)
    if input_bias:
        form["b_enc"] = form["b_enc"] - form["b_dec"] @ form["W_enc"]
    return form


def _read_config(path: Path) -> dict[str, Any]:
    if not is_sae_directory(path):
        raise ValueError(f"{path} is no SAE: expected a directory with {CONFIG_FILE} and {WEIGHTS_FILE}")
    try:
        config = json.loads((path / CONFIG_FILE).read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path / CONFIG_FILE} is not valid JSON ({error}); copy the SAE again") from None
    if not isinstance(config, dict):
        raise ValueError(f"{path / CONFIG_FILE} holds a {type(config).__name__}, expected a JSON object")
    return config


def _read_tensors(path: Path, device: torch.device | str) -> dict[str, Tensor]:
    try:
        with safe_open(path, framework="pt", device=str(device)) as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path} is truncated or no safetensors file ({error}); copy or train it again") from None


def _check_supported(config: Mapping[str, Any], source: str) -> str:
    """The architecture, once everything that would change the arithmetic is known to be absent."""
    architecture = config.get("architecture", "standard")
    if architecture not in ("jumprelu", "standard"):
        raise ValueError(f"{source} has architecture {architecture!r}, expected jumprelu or standard; convert it first")
    activation = config.get("activation_fn", config.get("activation_fn_str", "relu"))
    if activation != "relu":
        raise ValueError(f"{source} has activation_fn {activation!r}, expected relu; convert it to jumprelu first")
    for option in ("normalize_activations", "reshape_activations"):
        # SAELens before version 6 wrote False for none
        if (config.get(option) or "none") != "none":
            raise ValueError(f"{source} has {option} {config[option]!r}, expected none; fold it into the weights first")
    return str(architecture)


def _check_weights(config: Mapping[str, Any], tensors: Mapping[str, Tensor], source: str) -> None:
    try:
        d_model, d_sae = int(config["d_in"]), int(config["d_sae"])
    except (KeyError, TypeError, ValueError):
        raise ValueError(f"{source}/{CONFIG_FILE} lacks d_in or d_sae, expected two integers") from None
    expected = {
        "W_enc": (d_model, d_sae),
        "b_enc": (d_sae,),
        "W_dec": (d_sae, d_model),
        "b_dec": (d_model,),
        "threshold": (d_sae,),
    }
    for name, tensor in tensors.items():
        if tuple(tensor.shape) != expected[name]:
            raise ValueError(f"{name} of {source} has shape {tuple(tensor.shape)}, cfg.json says {expected[name]}")
        if not bool(tensor.isfinite().all()):
            raise ValueError(f"{name} of {source} has NaN or infinite entries; train the SAE again")


def write_saelens(
    path: Path,
    tensors: Mapping[str, Tensor],
    *,
    site: Site | None,
    metadata: Mapping[str, Any],
    weight_dtype: torch.dtype = torch.bfloat16,
) -> None:
    """Write an SAELens directory; each file appears whole or not at all.

    Args:
        path: Directory, made if missing.
        tensors: The five float32 tensors of a JumpReLU SAE.
        site: Recorded as hook names and under `domain_circuits`.
        metadata: Written as is; missing SAELens keys get their defaults.
        weight_dtype: Precision of `W_enc` and `W_dec` on disk, bfloat16 or float32.

    Raises:
        ValueError: Another precision was asked for.
    """
    if weight_dtype not in (torch.bfloat16, torch.float32):
        raise ValueError(f"weight_dtype is {weight_dtype}, expected torch.bfloat16 or torch.float32")
    stored = {
        name: tensor.detach().cpu().to(weight_dtype if name.startswith("W_") else torch.float32).contiguous()
        for name, tensor in tensors.items()
    }
    d_sae, d_model = stored["W_dec"].shape
    # sae-lens casts every tensor to this dtype, the threshold included: float32 whatever is on disk
    config = {
        "architecture": "jumprelu",
        "d_in": d_model,
        "d_sae": d_sae,
        "dtype": "float32",
        "device": "cpu",
        "apply_b_dec_to_input": False,
        "normalize_activations": "none",
        "reshape_activations": "none",
        "metadata": _complete_metadata(site, metadata),
    }
    path.mkdir(parents=True, exist_ok=True)
    _replace(path / WEIGHTS_FILE, lambda temporary: save_file(stored, temporary))
    text = json.dumps(config, indent=2) + "\n"
    _replace(path / CONFIG_FILE, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def _complete_metadata(site: Site | None, metadata: Mapping[str, Any]) -> dict[str, Any]:
    defaults: dict[str, Any] = {
        "sae_lens_version": SAELENS_VERSION,
        "sae_lens_training_version": None,
        "model_name": None,
        "hook_name": hook_name(site) if site else None,
        "hf_hook_name": hf_hook_name(site) if site else None,
        "context_size": None,
        "prepend_bos": True,
    }
    record = dict(metadata.get(RECORD) or {}) | {"site": str(site) if site else None}
    return defaults | dict(metadata) | {RECORD: record}


def _replace(path: Path, write: Callable[[Path], object]) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        write(temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
