"""The SAELens directory of `cfg.json` and `sae_weights.safetensors`, read and written: this project's own format."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from sae.dictionary.formats.folding import fold_decoder_norm, fold_input_bias, fold_input_scale
from sae.dictionary.formats.stored import (
    AFFINE_NAMES,
    StoredSAE,
    check_form,
    check_names,
    complete_metadata,
    read_json,
    read_safetensors,
    recorded_input_site,
    recorded_site,
)
from sae.dictionary.hook_names import is_before_norm_weight
from sae.host.sites import Site
from sae.written_whole import written_whole

__all__ = ["FILES", "from_saelens", "read_saelens", "read_saelens_site", "write_saelens"]

CONFIG_FILE = "cfg.json"
WEIGHTS_FILE = "sae_weights.safetensors"
SCALER_FILE = "activation_scaler.json"
FILES = (CONFIG_FILE, WEIGHTS_FILE)

# The tensor that holds the threshold beside the four of every SAE, by architecture.
THRESHOLD_NAMES = {
    "standard": None,
    "topk": None,
    "jumprelu": "threshold",
    "batchtopk": "topk_threshold",
    "matryoshka_batchtopk": "topk_threshold",
    "transcoder": None,
    "skip_transcoder": None,
    "jumprelu_transcoder": "threshold",
    "jumprelu_skip_transcoder": "threshold",
}
# Before version 6 SAELens kept these beside the architecture instead of under "metadata".
OLD_METADATA_KEYS = (
    "model_name",
    "hook_name",
    "hook_head_index",
    "context_size",
    "prepend_bos",
    "dataset_path",
)


def read_saelens(path: Path, device: torch.device | str = "cpu") -> StoredSAE:
    """Read an SAELens directory, of inference or of training.

    Raises:
        ValueError: A file is missing, damaged or of an unsupported kind; the line names the file.
    """
    config, tensors = read_json(path / CONFIG_FILE), read_safetensors(path / WEIGHTS_FILE, device)
    return from_saelens(config, tensors, source=str(path), input_scale=_read_scale(path / SCALER_FILE))


def _read_scale(path: Path) -> float | None:
    """The factor beside the weights of an unfinished training, if any."""
    scale = read_json(path).get("scaling_factor") if path.is_file() else None
    if scale is not None and not (isinstance(scale, (int, float)) and 0 < scale < math.inf):
        raise ValueError(f"{path} has scaling_factor {scale!r}, expected a number above 0")
    return None if scale is None else float(scale)


def read_saelens_site(path: Path) -> Site | None:
    """The site of an SAELens directory, read without its weights."""
    return recorded_site(_metadata(read_json(path / CONFIG_FILE)))


def from_saelens(
    config: Mapping[str, Any], tensors: Mapping[str, Tensor], *, source: str, input_scale: float | None = None
) -> StoredSAE:
    """What an SAELens configuration and its weights describe.

    A ReLU SAE has threshold 0; a BatchTopK SAE has the one threshold that its training tracked.

    Args:
        config: Contents of `cfg.json`.
        tensors: Weights under their SAELens names.
        source: Where they come from, for messages.
        input_scale: What activations were multiplied by, for `expected_average_only_in`.

    Raises:
        ValueError: The kind of SAE is not supported, or the weights do not fit the configuration.
    """
    options = _options(config, source, input_scale)
    given = _known_tensors(tensors, options.architecture, source)
    form = {name: given[name].float() for name in AFFINE_NAMES}
    form["threshold"] = _threshold(given, options).to(form["b_enc"])
    if "W_skip" in given:
        form["W_skip"] = given["W_skip"].float().T
    check_form(form, source, d_model=options.d_model, d_sae=options.d_sae)
    fold_input_scale(form, options.input_scale)
    if options.selects_by_norm:
        fold_decoder_norm(form)
    if options.input_bias:
        fold_input_bias(form)
    metadata = _metadata(config)
    input_site = _input_site(metadata, source) if options.is_transcoder else None
    is_unweighted = input_site is not None and is_before_norm_weight(str(metadata.get("hook_name")))
    return StoredSAE(form, recorded_site(metadata), metadata, options.top_k, input_site, is_unweighted)


@dataclass(frozen=True)
class _Options:
    """What of a configuration changes the arithmetic."""

    architecture: str
    d_model: int
    d_sae: int
    top_k: int | None
    input_bias: bool
    """The encoder reads `x - b_dec`."""
    input_scale: float
    selects_by_norm: bool
    """Features are chosen by pre-activation times length of the decoder row."""
    is_transcoder: bool


def _options(config: Mapping[str, Any], source: str, input_scale: float | None) -> _Options:
    activation = config.get("activation_fn", config.get("activation_fn_str", "relu"))
    architecture = str(config.get("architecture", "standard"))
    if (architecture, activation) == ("standard", "topk"):
        architecture, activation = "topk", "relu"  # before version 6
    if architecture not in THRESHOLD_NAMES:
        raise ValueError(f"{source} has architecture {architecture!r}, expected one of {', '.join(THRESHOLD_NAMES)}")
    if activation not in ("relu", architecture):
        raise ValueError(f"{source} has activation_fn {activation!r}, expected relu")
    if (config.get("reshape_activations") or "none") != "none":
        raise ValueError(f"{source} has reshape_activations {config['reshape_activations']!r}, expected none")
    try:
        d_model, d_sae = int(config["d_in"]), int(config["d_sae"])
    except (KeyError, TypeError, ValueError):
        raise ValueError(f"{source}/{CONFIG_FILE} lacks d_in or d_sae, expected two integers") from None
    is_transcoder = architecture.endswith("transcoder")
    if is_transcoder and config.get("d_out") != d_model:
        raise ValueError(
            f"{source} is a transcoder from d_in {d_model} to d_out {config.get('d_out')!r}, expected one width: "
            "what an MLP reads and writes is as wide as the stream"
        )
    return _Options(
        architecture=architecture,
        d_model=d_model,
        d_sae=d_sae,
        top_k=_top_k(config, d_sae, source) if architecture == "topk" else None,
        input_bias=bool(config.get("apply_b_dec_to_input", True)) and not is_transcoder,
        input_scale=_input_scale(config, input_scale, source),
        selects_by_norm="topk" in architecture and bool(config.get("rescale_acts_by_decoder_norm", False)),
        is_transcoder=is_transcoder,
    )


def _input_site(metadata: Mapping[str, Any], source: str) -> Site:
    """Where a transcoder reads, once it is known that it writes somewhere behind it."""
    read, written = recorded_input_site(metadata), recorded_site(metadata)
    if read is None or written is None or not read < written:
        raise ValueError(
            f"{source} is a transcoder from hook {metadata.get('hook_name')!r} to {metadata.get('hook_name_out')!r}, "
            "expected two sites in forward order, such as blocks.3.mlp.hook_in and blocks.3.hook_mlp_out; "
            "blocks.3.hook_mlp_in is the stream before the norm, which is no site"
        )
    return read


def _top_k(config: Mapping[str, Any], d_sae: int, source: str) -> int:
    old = config.get("activation_fn_kwargs")
    k = config.get("k", old.get("k") if isinstance(old, dict) else None)
    if not isinstance(k, int) or not 1 <= k <= d_sae:
        raise ValueError(f"{source} has architecture topk with k {k!r}, expected an integer from 1 to d_sae, {d_sae}")
    return k


def _input_scale(config: Mapping[str, Any], scale: float | None, source: str) -> float:
    """The factor before the SAE; 1 without normalisation, an error for what no factor can express."""
    normalisation = config.get("normalize_activations") or "none"
    if normalisation == "none":
        return 1.0
    # SAELens before version 6 wrote True
    if normalisation not in (True, "expected_average_only_in"):
        raise ValueError(
            f"{source} has normalize_activations {normalisation!r}, expected none or expected_average_only_in"
        )
    if scale is None:
        raise ValueError(
            f"{source} has normalize_activations {normalisation!r} but no {SCALER_FILE} with a scaling_factor; "
            "fold the factor into the weights with sae-lens first"
        )
    return scale


def _known_tensors(tensors: Mapping[str, Tensor], architecture: str, source: str) -> dict[str, Tensor]:
    """The tensors that the architecture has, without what means nothing or the same under an older name."""
    given = dict(tensors)
    if architecture == "jumprelu" and "log_threshold" in given and "threshold" not in given:
        given["threshold"] = given.pop("log_threshold").exp()
    if "scaling_factor" in given and bool((given["scaling_factor"] == 1).all()):
        del given["scaling_factor"]
    threshold = THRESHOLD_NAMES[architecture]
    skip = ["W_skip"] if "skip" in architecture else []
    check_names(given, [*AFFINE_NAMES, *skip, *([threshold] if threshold else [])], source)
    return given


def _threshold(tensors: Mapping[str, Tensor], options: _Options) -> Tensor:
    name = THRESHOLD_NAMES[options.architecture]
    if name is None:
        return torch.zeros(options.d_sae)
    if name == "threshold":
        return tensors[name]
    # In units of what features are chosen by, and folding divides decoder rows by the scale.
    threshold = tensors[name] / (options.input_scale if options.selects_by_norm else 1.0)
    return threshold.expand(options.d_sae).clone() if threshold.numel() == 1 else threshold


def _metadata(config: Mapping[str, Any]) -> dict[str, Any]:
    metadata = config.get("metadata")
    if isinstance(metadata, dict) and metadata:
        return metadata
    return {key: config[key] for key in OLD_METADATA_KEYS if key in config}


def write_saelens(path: Path, stored: StoredSAE, *, weight_dtype: torch.dtype = torch.bfloat16) -> None:
    """Write an SAELens directory of architecture jumprelu, topk or one of jumprelu's transcoders.

    Each file appears whole or not at all.

    Args:
        path: Directory, made if missing.
        stored: Its metadata are written as they are; missing SAELens keys get their defaults.
        weight_dtype: Precision of `W_enc` and `W_dec` on disk, bfloat16 or float32.

    Raises:
        ValueError: Another precision was asked for, the transcoder is TopK, or the directory cannot be written.
    """
    if weight_dtype not in (torch.bfloat16, torch.float32):
        raise ValueError(f"weight_dtype is {weight_dtype}, expected torch.bfloat16 or torch.float32")
    if stored.top_k and stored.input_site:
        raise ValueError("a TopK transcoder has no place in SAELens, expected thresholds; calibrate it first")
    tensors = {
        # theirs maps from output to input
        name: (tensor.T if name == "W_skip" else tensor)
        .detach()
        .cpu()
        .to(weight_dtype if name.startswith("W_") else torch.float32)
        .contiguous()
        for name, tensor in stored.tensors.items()
        if stored.top_k is None or name != "threshold"
    }
    with written_whole(path / WEIGHTS_FILE) as weights_part, written_whole(path / CONFIG_FILE) as config_part:
        save_file(tensors, weights_part)
        config_part.write_text(json.dumps(_config(stored), indent=2) + "\n", encoding="utf-8")


def _config(stored: StoredSAE) -> dict[str, Any]:
    d_sae, d_model = stored.tensors["W_dec"].shape
    of_top_k = {"k": stored.top_k, "rescale_acts_by_decoder_norm": False} if stored.top_k else {}
    of_transcoder = {"d_out": d_model} if stored.input_site else {}
    return {
        "architecture": _architecture(stored),
        "d_in": d_model,
        "d_sae": d_sae,
        # sae-lens casts every tensor to this dtype, the threshold included: float32 whatever is on disk
        "dtype": "float32",
        "device": "cpu",
        "apply_b_dec_to_input": False,
        "normalize_activations": "none",
        "reshape_activations": "none",
        **of_top_k,
        **of_transcoder,
        "metadata": complete_metadata(stored),
    }


def _architecture(stored: StoredSAE) -> str:
    if stored.input_site is None:
        return "topk" if stored.top_k else "jumprelu"
    return "jumprelu_skip_transcoder" if "W_skip" in stored.tensors else "jumprelu_transcoder"
