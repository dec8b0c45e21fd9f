"""Small SAE directories in the layouts of other groups, for the tests of what reads them."""

import json
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from sae.dictionary.autoencoder import SAE


def dictionary_learning_directory(path: Path, dict_class: str, **changes) -> dict[str, torch.Tensor]:
    """A small directory as the library's trainers save it; returns the tensors under the field's names."""
    draw = torch.Generator().manual_seed(4)
    shapes = {"W_enc": (8, 32), "b_enc": (32,), "W_dec": (32, 8), "b_dec": (8,)}
    field = {name: torch.randn(shape, generator=draw) for name, shape in shapes.items()}
    field["threshold"] = torch.tensor(1.5)
    path.mkdir(exist_ok=True)
    torch.save({**_state_dict(field, dict_class), **changes}, path / "ae.pt")
    trainer = {"dict_class": dict_class, "activation_dim": 8, "dict_size": 32, "k": 4}
    trainer |= {"layer": 3, "lm_name": "EleutherAI/pythia-70m", "submodule_name": "resid_post_layer_3", "lr": 1e-4}
    (path / "config.json").write_text(json.dumps({"trainer": trainer, "buffer": {"ctx_len": 128}}))
    return field


def _state_dict(field: dict[str, torch.Tensor], dict_class: str) -> dict[str, torch.Tensor]:
    counters = {"k": torch.tensor(4, dtype=torch.int), "threshold": field["threshold"]}
    if dict_class == "JumpReluAutoEncoder":
        return field | {"threshold": field["threshold"].expand(32).clone()}
    if dict_class == "MatryoshkaBatchTopKSAE":
        return field | {"k": counters["k"], "group_sizes": torch.tensor([16, 16])}
    linear = {"encoder.weight": field["W_enc"].T, "encoder.bias": field["b_enc"], "decoder.weight": field["W_dec"].T}
    if dict_class in ("AutoEncoder", "AutoEncoderNew"):
        return linear | {"bias" if dict_class == "AutoEncoder" else "decoder.bias": field["b_dec"]}
    return linear | {"b_dec": field["b_dec"]} | counters


def gemma_directory(root: Path, sae: SAE, **changes) -> Path:
    path = root / "gemma-scope-2b-pt-res" / "layer_20" / "width_16k" / "average_l0_71"
    path.mkdir(parents=True)
    arrays = {name: tensor.numpy() for name, tensor in sae.tensors().items()} | changes
    np.savez(path / "params.npz", **{name: array for name, array in arrays.items() if array is not ...})
    return path


def gemma_2_directory(root: Path, sae: SAE, *, config=None, **changes) -> Path:
    path = root / "resid_post" / "layer_9_width_16k_l0_small"
    path.mkdir(parents=True)
    names = {"W_enc": "w_enc", "W_dec": "w_dec"}
    tensors = {names.get(name, name): tensor.contiguous() for name, tensor in sae.tensors().items()}
    save_file(tensors | changes, path / "params.safetensors")
    hook = {"architecture": "jump_relu", "model_name": "gemma-v3-1b-pt", "hf_hook_point_in": "model.layers.9.output"}
    (path / "config.json").write_text(json.dumps(hook | (config or {})))
    return path


def llama_directory(root: Path, sae: SAE, *, mean_norm=5.0, threshold=0.4, **changes) -> Path:
    path = root / "Llama3_1-8B-Base-L15R-8x"
    (path / "checkpoints").mkdir(parents=True)
    tensors = {
        "encoder.weight": sae.W_enc.T.contiguous(),
        "encoder.bias": sae.b_enc,
        "decoder.weight": sae.W_dec.T.contiguous(),
        "decoder.bias": sae.b_dec,
    }
    save_file(tensors, path / "checkpoints" / "final.safetensors")
    config = {"d_model": 8, "d_sae": 32, "hook_point_in": "blocks.15.hook_resid_post", "jump_relu_threshold": threshold}
    config |= {"hook_point_out": "blocks.15.hook_resid_post"}
    config |= {"dataset_average_activation_norm": {"in": mean_norm, "out": mean_norm}}
    (path / "hyperparams.json").write_text(json.dumps(config | changes))
    return path
