"""The dictionary_learning directory of `config.json` and `ae.pt`, read and written.

Source: saprmarks/dictionary_learning, `dictionary.py` and the state dicts of its trainers.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sae.dictionary.formats.folding import fold_input_bias
from sae.dictionary.formats.stored import (
    RECORD,
    StoredSAE,
    check_form,
    check_names,
    complete_metadata,
    read_json,
    recorded_site,
)
from sae.dictionary.formats.torch_files import read_state_dict, write_state_dict
from sae.host.sites import Site
from sae.written_whole import written_whole

__all__ = ["FILES", "read_dictionary_learning", "read_dictionary_learning_site", "write_dictionary_learning"]

CONFIG_FILE = "config.json"
WEIGHTS_FILE = "ae.pt"
FILES = (CONFIG_FILE, WEIGHTS_FILE)


@dataclass(frozen=True)
class _Layout:
    """How one class of dictionary_learning names its tensors and what it does with them."""

    names: Mapping[str, str]
    """Field's name of each tensor, with `.T` where the file holds the transpose."""
    others: tuple[str, ...] = ()
    """What the state dict holds besides."""
    input_bias: bool = True
    """The encoder reads `x - b_dec`."""
    per_token: bool = False
    """The k largest features of each token are kept, whatever threshold was tracked."""


_LINEAR = {"encoder.weight": "W_enc.T", "encoder.bias": "b_enc", "decoder.weight": "W_dec.T"}
_PARAMETERS = {name: name for name in ("W_enc", "b_enc", "W_dec", "b_dec")}
_CLASSES = {
    "AutoEncoder": _Layout(_LINEAR | {"bias": "b_dec"}),
    "AutoEncoderNew": _Layout(_LINEAR | {"decoder.bias": "b_dec"}, input_bias=False),
    "AutoEncoderTopK": _Layout(_LINEAR | {"b_dec": "b_dec"}, ("k", "threshold"), per_token=True),
    "BatchTopKSAE": _Layout(_LINEAR | {"b_dec": "b_dec", "threshold": "threshold"}, ("k",)),
    "MatryoshkaBatchTopKSAE": _Layout(_PARAMETERS | {"threshold": "threshold"}, ("k", "group_sizes")),
    "JumpReluAutoEncoder": _Layout(_PARAMETERS | {"threshold": "threshold"}, input_bias=False),
}


def read_dictionary_learning(path: Path, device: torch.device | str = "cpu") -> StoredSAE:
    """Read a finished dictionary; its weights are in the host's units, whatever it was trained in.

    Raises:
        ValueError: A file is damaged, holds more than tensors, or is of an unsupported class.
    """
    config, source = read_json(path / CONFIG_FILE), str(path)
    trainer = _trainer(config, source)
    layout = _layout(trainer, source)
    tensors = read_state_dict(path / WEIGHTS_FILE, device)
    # k and threshold came later than the first releases
    optional = [name for name in layout.others if name in tensors]
    check_names(tensors, [*layout.names, *optional], source)
    form = _form(tensors, layout)
    _check_sizes(form, trainer, source)
    if layout.input_bias:
        fold_input_bias(form)
    metadata = _metadata(config, trainer)
    top_k = _top_k(trainer, len(form["b_enc"]), source) if layout.per_token else None
    return StoredSAE(form, recorded_site(metadata), metadata, top_k)


def read_dictionary_learning_site(path: Path) -> Site | None:
    """The site of a directory, read without its weights."""
    config = read_json(path / CONFIG_FILE)
    return recorded_site(_metadata(config, _trainer(config, str(path))))


def _trainer(config: Mapping[str, Any], source: str) -> dict[str, Any]:
    trainer = config.get("trainer")
    if not isinstance(trainer, dict):
        raise ValueError(f"{source}/{CONFIG_FILE} has no object 'trainer', expected the record of dictionary_learning")
    return trainer


def _layout(trainer: Mapping[str, Any], source: str) -> _Layout:
    layout = _CLASSES.get(str(trainer.get("dict_class")))
    if layout is None:
        raise ValueError(
            f"{source} has dict_class {trainer.get('dict_class')!r}, expected one of {', '.join(_CLASSES)}"
        )
    return layout


def _form(tensors: Mapping[str, Tensor], layout: _Layout) -> dict[str, Tensor]:
    """The tensors under the field's names; one threshold is that of every feature, none is 0."""
    form = {}
    for name, field_name in layout.names.items():
        tensor = tensors[name].float()
        form[field_name.removesuffix(".T")] = tensor.mT if field_name.endswith(".T") and tensor.ndim == 2 else tensor
    threshold = form.get("threshold", torch.zeros_like(form["b_enc"]))
    form["threshold"] = threshold.expand_as(form["b_enc"]).clone() if threshold.numel() == 1 else threshold
    return form


def _check_sizes(form: Mapping[str, Tensor], trainer: Mapping[str, Any], source: str) -> None:
    sizes = {"d_model": trainer.get("activation_dim"), "d_sae": trainer.get("dict_size")}
    check_form(form, source, **{name: size for name, size in sizes.items() if isinstance(size, int)})


def _top_k(trainer: Mapping[str, Any], d_sae: int, source: str) -> int:
    k = trainer.get("k")
    if not isinstance(k, int) or not 1 <= k <= d_sae:
        raise ValueError(f"{source} has k {k!r}, expected an integer from 1 to its dict_size, {d_sae}")
    return k


def _metadata(config: Mapping[str, Any], trainer: Mapping[str, Any]) -> dict[str, Any]:
    """What we wrote ourselves, else what the trainer's record says in SAELens's words."""
    if isinstance(config.get("metadata"), dict):
        return dict(config["metadata"])
    buffer, site = config.get("buffer"), _site_of(trainer)
    return {
        "model_name": trainer.get("lm_name"),
        "context_size": buffer.get("ctx_len") if isinstance(buffer, dict) else None,
        RECORD: {"site": str(site) if site else None, "source": "dictionary_learning", "trainer": dict(trainer)},
    }


def _site_of(trainer: Mapping[str, Any]) -> Site | None:
    """The stream after the layer, unless the name of the module says attention or MLP."""
    layer, module = trainer.get("layer"), str(trainer.get("submodule_name") or "resid")
    if not isinstance(layer, int) or layer < 0:
        return None
    kinds = {"attn": "attn_out", "attention": "attn_out", "mlp": "mlp_out", "resid": "resid_post"}
    kind = next((kind for word, kind in kinds.items() if word in module), None)
    return Site(kind, layer) if kind else None


def write_dictionary_learning(path: Path, stored: StoredSAE) -> None:
    """Write a directory that dictionary_learning's `load_dictionary` reads, in float32.

    A JumpReLU SAE becomes a `JumpReluAutoEncoder`. A TopK SAE becomes an `AutoEncoderTopK`, whose encoder reads
    `x - b_dec`: its bias is changed to cancel that.

    Raises:
        ValueError: The directory cannot be written.
    """
    state = _top_k_state(stored) if stored.top_k else stored.tensors
    with written_whole(path / WEIGHTS_FILE) as weights_part, written_whole(path / CONFIG_FILE) as config_part:
        write_state_dict(weights_part, state)
        config_part.write_text(json.dumps(_config(stored), indent=2) + "\n", encoding="utf-8")


def _top_k_state(stored: StoredSAE) -> dict[str, Tensor]:
    tensors = stored.tensors
    return {
        "encoder.weight": tensors["W_enc"].T,
        "encoder.bias": tensors["b_enc"] + tensors["b_dec"] @ tensors["W_enc"],
        "decoder.weight": tensors["W_dec"].T,
        "b_dec": tensors["b_dec"],
        "k": torch.tensor(stored.top_k, dtype=torch.int),
        "threshold": torch.tensor(-1.0),  # theirs until training has tracked one
    }


def _config(stored: StoredSAE) -> dict[str, Any]:
    d_sae, d_model = stored.tensors["W_dec"].shape
    metadata, site = complete_metadata(stored), stored.site
    return {
        "trainer": {
            "dict_class": "AutoEncoderTopK" if stored.top_k else "JumpReluAutoEncoder",
            "activation_dim": d_model,
            "dict_size": d_sae,
            "layer": site.layer if site else None,
            "lm_name": metadata["model_name"] or "",
            "submodule_name": f"{site.kind}_layer_{site.layer}" if site else None,
            **({"k": stored.top_k} if stored.top_k else {}),
        },
        "buffer": {"ctx_len": metadata["context_size"]},
        "metadata": metadata,
    }
