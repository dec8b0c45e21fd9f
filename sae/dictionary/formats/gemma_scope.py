"""The layouts of Gemma Scope: `params.npz` (1), and `config.json` with `params.safetensors` (2).

Neither file says where version 1 belongs: its folders do, as in `gemma-scope-2b-pt-res/layer_20/width_16k/...`.
Sources: Lieberum et al. 2024 (arXiv 2408.05147) and the repositories google/gemma-scope-* on Hugging Face.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sae.dictionary.formats.stored import (
    AFFINE_NAMES,
    RECORD,
    StoredSAE,
    check_form,
    check_names,
    read_json,
    read_safetensors,
    recorded_site,
)
from sae.host.sites import Site
from sae.written_whole import written_whole

__all__ = [
    "FILES",
    "FILES_2",
    "read_gemma_scope",
    "read_gemma_scope_2",
    "read_gemma_scope_2_site",
    "read_gemma_scope_site",
    "write_gemma_scope",
]

ARRAYS_FILE = "params.npz"
CONFIG_FILE = "config.json"
TENSORS_FILE = "params.safetensors"
FILES = (ARRAYS_FILE,)
FILES_2 = (CONFIG_FILE, TENSORS_FILE)

NAMES = (*AFFINE_NAMES, "threshold")
# Words of folder names; the attention SAEs read the heads before their output projection, which is no site.
KIND_WORDS = {"res": "resid_post", "mlp": "mlp_out"}
# Modules whose output is a site, in Gemma 3 as Hugging Face names them.
MODULES = {"output": "resid_post", "post_feedforward_layernorm.output": "mlp_out"}


def read_gemma_scope(path: Path, device: torch.device | str = "cpu") -> StoredSAE:
    """Read `params.npz`; an array of objects is refused, so nothing is unpickled.

    Raises:
        ValueError: The file is damaged, or holds no JumpReLU SAE.
    """
    arrays = _read_arrays(path / ARRAYS_FILE)
    tensors = {_field_name(name): torch.from_numpy(array).to(device) for name, array in arrays.items()}
    return _stored(tensors, _metadata(read_gemma_scope_site(path)), str(path))


def read_gemma_scope_site(path: Path) -> Site | None:
    """The site that the names of the folders say, else None."""
    parts = path.resolve().parts
    layer = next((int(match[1]) for part in reversed(parts) if (match := re.search(r"layer_(\d+)", part))), None)
    words = {word for part in parts if "gemma-scope" in part for word in part.split("-")}
    kind = next((kind for word, kind in KIND_WORDS.items() if word in words), None)
    return Site(kind, layer) if kind and layer is not None else None


def read_gemma_scope_2(path: Path, device: torch.device | str = "cpu") -> StoredSAE:
    """Read `config.json` and `params.safetensors`.

    Raises:
        ValueError: A file is damaged, or holds no JumpReLU SAE.
    """
    config, tensors = read_json(path / CONFIG_FILE), read_safetensors(path / TENSORS_FILE, device)
    if config.get("architecture") != "jump_relu":
        raise ValueError(f"{path} has architecture {config.get('architecture')!r}, expected jump_relu")
    if config.get("hf_hook_point_out") not in (None, config.get("hf_hook_point_in")):
        raise ValueError(
            f"{path} is a transcoder from {config.get('hf_hook_point_in')!r} to {config['hf_hook_point_out']!r}, "
            "expected an SAE"
        )
    site = _hooked_site(config)
    metadata = _metadata(site) | {"model_name": config.get("model_name")}
    return _stored({_field_name(name): tensor for name, tensor in tensors.items()}, metadata, str(path))


def read_gemma_scope_2_site(path: Path) -> Site | None:
    """The site that the configuration names, read without the weights."""
    return _hooked_site(read_json(path / CONFIG_FILE))


def _hooked_site(config: Mapping[str, Any]) -> Site | None:
    match = re.fullmatch(r"model\.layers\.(\d+)\.(.+)", str(config.get("hf_hook_point_in")))
    if match is None or match[2] not in MODULES:
        return None
    return Site(MODULES[match[2]], int(match[1]))


def _read_arrays(path: Path) -> dict[str, np.ndarray]:
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except Exception as error:  # damaged bytes raise whatever they lead the zip reader to
        reason = str(error).partition("\n")[0]
        raise ValueError(f"{path} is truncated or no npz file of plain arrays ({reason}); copy it again") from None
    for name, array in arrays.items():
        if not np.issubdtype(array.dtype, np.floating):
            raise ValueError(f"{name} of {path} is an array of {array.dtype}, expected floating-point numbers")
    return arrays


def _field_name(name: str) -> str:
    return "W_" + name[2:] if name.startswith("w_") else name


def _metadata(site: Site | None) -> dict[str, Any]:
    return {RECORD: {"site": str(site) if site else None, "source": "gemma_scope"}}


def _stored(tensors: Mapping[str, Tensor], metadata: dict[str, Any], source: str) -> StoredSAE:
    check_names(tensors, NAMES, source)
    form = {name: tensors[name].float() for name in NAMES}
    check_form(form, source)
    return StoredSAE(form, recorded_site(metadata), metadata)


def write_gemma_scope(path: Path, stored: StoredSAE) -> None:
    """Write `params.npz` in float32; the name of the site is lost unless the folders say it.

    Raises:
        ValueError: The SAE is TopK, for which the layout has no place, or the directory cannot be written.
    """
    if stored.top_k:
        raise ValueError(
            f"a TopK SAE (k {stored.top_k}) has no thresholds, which Gemma Scope needs; calibrate it first"
        )
    arrays: dict[str, Any] = {name: tensor.detach().cpu().numpy() for name, tensor in stored.tensors.items()}
    with written_whole(path / ARRAYS_FILE) as part:
        np.savez(part, **arrays)
