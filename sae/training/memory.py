"""Whether a run fits into memory, said before anything is allocated."""

from collections.abc import Sequence

import psutil
import torch

from sae.training.sae_trainer import TrainingGoal

__all__ = ["available_bytes", "check_memory", "needed_bytes"]

FLOAT_BYTES = 4
BFLOAT16_BYTES = 2
COPIES = 4
"""A weight, its gradient and Adam's two moments."""
DENSE_BUFFERS = 3
"""Of tokens by d_sae that a dense step holds at once, at least: pre-activations, activations and their gradients."""
GIB = 2**30


def needed_bytes(goal: TrainingGoal, d_model: int, device: torch.device) -> int:
    """Bytes that the weights of a dictionary take in training; on a GPU with bfloat16 copies of both matrices."""
    d_sae = goal.config.d_sae
    shadows = 2 * BFLOAT16_BYTES * d_sae * d_model if device.type == "cuda" else 0
    return COPIES * FLOAT_BYTES * (2 * d_sae * d_model + 2 * d_sae + d_model) + shadows


def available_bytes(device: torch.device) -> int:
    """Bytes that can still be allocated on a device."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return int(psutil.virtual_memory().available)


def check_memory(goals: Sequence[TrainingGoal], d_model: int, device: torch.device) -> None:
    """Make sure that all dictionaries of a run fit beside each other.

    Raises:
        ValueError: They do not; the line says how much is needed and how much there is.
    """
    # Dictionaries take turns in a step, so that one's buffers are enough.
    buffers = max(DENSE_BUFFERS * FLOAT_BYTES * goal.config.batch_tokens * goal.config.d_sae for goal in goals)
    needed = sum(needed_bytes(goal, d_model, device) for goal in goals) + buffers
    available = available_bytes(device)
    if needed > available:
        widths = ", ".join(str(width) for width in sorted({goal.config.d_sae for goal in goals}))
        raise ValueError(
            f"d_sae {widths} at d_model {d_model} needs {needed / GIB:.1f} GiB for {len(goals)} SAEs in training, but "
            f"{available / GIB:.1f} GiB are available on {device}; use a smaller d_sae or batch, or fewer SAEs at once"
        )
