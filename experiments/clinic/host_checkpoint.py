"""A training run as one safetensors file: weights, AdamW moments, and a JSON record of how far it is.

Batches are a pure function of the step (see `host_data`), and the host has no dropout: there is no random
state to keep.
"""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

from sae.written_whole import written_whole

__all__ = ["load_checkpoint", "save_checkpoint"]

MOMENTS = ("step", "exp_avg", "exp_avg_sq")
"""What AdamW keeps per parameter."""


def save_checkpoint(path: Path, model: nn.Module, optimizer: torch.optim.AdamW, record: dict[str, Any]) -> None:
    """Write the state of a run to `path`, at once or not at all.

    Args:
        path: A safetensors file; replaced if it exists.
        model: Its parameters are saved by name, tied ones once.
        optimizer: AdamW over just these parameters, after at least one step.
        record: Whatever JSON can hold, returned by `load_checkpoint`.
    """
    tensors = {}
    for name, parameter in model.named_parameters():
        tensors[f"weight/{name}"] = parameter.detach()
        tensors |= {f"{moment}/{name}": optimizer.state[parameter][moment] for moment in MOMENTS}
    with written_whole(path) as part:
        save_file(tensors, part, metadata={"record": json.dumps(record)})


def load_checkpoint(path: Path, model: nn.Module, optimizer: torch.optim.AdamW) -> dict[str, Any]:
    """Put `model` and `optimizer` where `save_checkpoint` left them, and return the record.

    Raises:
        ValueError: If the file is for a model with other parameters.
    """
    with safe_open(path, framework="pt") as file:
        parts = ("weight", *MOMENTS)
        expected = {f"{part}/{name}" for name, _ in model.named_parameters() for part in parts}
        if expected != set(file.keys()):
            raise ValueError(f"checkpoint {path} is for a model with other parameters; remove it to start anew")
        for name, parameter in model.named_parameters():
            parameter.data.copy_(file.get_tensor(f"weight/{name}"))
            optimizer.state[parameter] = {moment: file.get_tensor(f"{moment}/{name}") for moment in MOMENTS}
        record: dict[str, Any] = json.loads(file.metadata()["record"])
    return record
