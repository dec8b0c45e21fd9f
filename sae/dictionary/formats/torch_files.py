"""State dicts in torch's own file format, which is a pickle: the only file that touches one, and for tensors only."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

__all__ = ["read_state_dict", "write_state_dict"]


def read_state_dict(path: Path, device: torch.device | str) -> dict[str, Tensor]:
    """All tensors of a file, through torch's restricted loader, which runs no code.

    Raises:
        ValueError: The file is damaged, or holds anything but tensors by name.
    """
    try:
        content = torch.load(path, map_location=device, weights_only=True)
    except Exception as error:  # damaged bytes raise whatever they lead the loader to
        reason = str(error).partition(". ")[0].partition("\n")[0]
        raise ValueError(f"{path} is truncated, damaged or holds more than plain tensors ({reason})") from None
    if not isinstance(content, dict) or not all(isinstance(value, Tensor) for value in content.values()):
        raise ValueError(f"{path} is no state dict of tensors; a backup of unfinished training cannot be read")
    return {str(name): tensor.detach() for name, tensor in content.items()}


def write_state_dict(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write tensors as torch's restricted loader reads them."""
    torch.save({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, path)
