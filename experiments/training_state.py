"""A host's training run as one safetensors file: weights, AdamW moments, and a JSON record of how far it is.

Batches are a pure function of the step, and hosts are trained without dropout: there is no random state to keep.
"""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

from sae.written_whole import written_whole

__all__ = ["load_training_state", "save_training_state"]

MOMENTS = ("step", "exp_avg", "exp_avg_sq")
"""What AdamW keeps per parameter."""


def save_training_state(path: Path, model: nn.Module, optimizer: torch.optim.AdamW, record: dict[str, Any]) -> None:
    """Write the state of a run to `path`, at once or not at all.

    Args:
        path: A safetensors file; replaced if it exists.
        model: Its parameters that are trained are saved by name, tied ones once.
        optimizer: AdamW over just these parameters, after at least one step.
        record: Whatever JSON can hold, returned by `load_training_state`.
    """
    tensors = {}
    for name, parameter in _trained(model):
        tensors[f"weight/{name}"] = parameter.detach()
        tensors |= {f"{moment}/{name}": optimizer.state[parameter][moment] for moment in MOMENTS}
    with written_whole(path) as part:
        save_file(tensors, part, metadata={"record": json.dumps(record)})


def load_training_state(path: Path, model: nn.Module, optimizer: torch.optim.AdamW) -> dict[str, Any]:
    """Put `model` and `optimizer` where `save_training_state` left them, and return the record.

    Raises:
        ValueError: If the file is for a model with other parameters.
    """
    with safe_open(path, framework="pt") as file:
        parts = ("weight", *MOMENTS)
        expected = {f"{part}/{name}" for name, _ in _trained(model) for part in parts}
        if expected != set(file.keys()):
            raise ValueError(f"checkpoint {path} is for a model with other parameters; remove it to start anew")
        for name, parameter in _trained(model):
            parameter.data.copy_(file.get_tensor(f"weight/{name}"))
            optimizer.state[parameter] = {
                moment: file.get_tensor(f"{moment}/{name}").to(parameter.device) for moment in MOMENTS
            }
        record: dict[str, Any] = json.loads(file.metadata()["record"])
    return record


def _trained(model: nn.Module) -> list[tuple[str, nn.Parameter]]:
    return [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]
