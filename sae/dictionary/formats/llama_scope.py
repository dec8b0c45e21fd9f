"""The Llama Scope directory of `hyperparams.json` and `checkpoints/final.safetensors`.

Source: He et al. 2024 (arXiv 2410.20526) and the repositories fnlp/Llama3_1-8B-Base-LX* on Hugging Face.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from sae.dictionary.formats.folding import fold_input_scale
from sae.dictionary.formats.stored import (
    StoredSAE,
    check_form,
    check_names,
    read_json,
    read_safetensors,
    recorded_site,
)
from sae.host.sites import Site

__all__ = ["FILES", "read_llama_scope", "read_llama_scope_site"]

CONFIG_FILE = "hyperparams.json"
WEIGHTS_FILE = "checkpoints/final.safetensors"
FILES = (CONFIG_FILE, WEIGHTS_FILE)
NAMES = ("encoder.weight", "encoder.bias", "decoder.weight", "decoder.bias")


def read_llama_scope(path: Path, device: torch.device | str = "cpu") -> StoredSAE:
    """Read one SAE, trained on activations scaled to a mean norm of sqrt(d_model); the scale is folded in.

    Features are in units of the scaled activations, as the encoder computes them. The one threshold of the file is in
    units of the host, so it is scaled too.

    Raises:
        ValueError: A file is damaged, or its configuration lacks a number that the arithmetic needs.
    """
    config, tensors = read_json(path / CONFIG_FILE), read_safetensors(path / WEIGHTS_FILE, device)
    if config.get("hook_point_out", config.get("hook_point_in")) != config.get("hook_point_in"):
        raise ValueError(f"{path} is a transcoder to {config['hook_point_out']!r}, expected an SAE")
    check_names(tensors, NAMES, str(path))
    d_model, d_sae = int(_number(config, "d_model", path)), int(_number(config, "d_sae", path))
    scale = math.sqrt(d_model) / _number(config.get("dataset_average_activation_norm"), "in", path)
    threshold = scale * _number(config, "jump_relu_threshold", path)
    form = {
        "W_enc": tensors["encoder.weight"].float().mT,
        "b_enc": tensors["encoder.bias"].float(),
        "W_dec": tensors["decoder.weight"].float().mT,
        "b_dec": tensors["decoder.bias"].float(),
        "threshold": torch.full_like(tensors["encoder.bias"], threshold, dtype=torch.float32),
    }
    check_form(form, str(path), d_model=d_model, d_sae=d_sae)
    fold_input_scale(form, scale)
    metadata = _metadata(config)
    return StoredSAE(form, recorded_site(metadata), metadata)


def read_llama_scope_site(path: Path) -> Site | None:
    """The site of a directory, read without its weights."""
    return recorded_site(_metadata(read_json(path / CONFIG_FILE)))


def _metadata(config: Mapping[str, Any]) -> dict[str, Any]:
    return {"hook_name": config.get("hook_point_in")}


def _number(numbers: Any, name: str, path: Path) -> float:
    """A number above 0 of the configuration."""
    value = numbers.get(name) if isinstance(numbers, dict) else None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < math.inf:
        raise ValueError(f"{path / CONFIG_FILE} has {name} {value!r}, expected a number above 0")
    return float(value)
