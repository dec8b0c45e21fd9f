"""Float32 arithmetic in a model whose weights are stored narrower, without a second copy of them.

Each module widens its own weights while it runs. Where autograd would keep a widened weight for the backward pass it
keeps the stored one, which is widened again when it is needed: memory is that of the largest module, not of the model.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from sae.host.replaced_forward import replaced_forward

__all__ = ["float32_arithmetic"]


@contextmanager
def float32_arithmetic(model: Any) -> Iterator[None]:
    """Let a model compute as its float32 copy would, bit for bit, while the block runs.

    Args:
        model: Its floating parameters may have any precision and are left as they are; its gradients with respect to
            activations, not to parameters, may be taken after the block.
    """
    with ExitStack() as replaced:
        for module in model.modules():
            if any(_is_narrow(parameter) for parameter in module.parameters(recurse=False)):
                replaced.enter_context(replaced_forward(module, partial(_in_float32, module, module.forward)))
        yield


def _is_narrow(parameter: Tensor) -> bool:
    return parameter.is_floating_point() and parameter.dtype != torch.float32


def _in_float32(module: Any, forward: Callable[..., Any], *inputs: Any, **options: Any) -> Any:
    stored = module._parameters
    narrow = {name: parameter for name, parameter in stored.items() if parameter is not None and _is_narrow(parameter)}
    wide = {name: parameter.detach().float() for name, parameter in narrow.items()}
    storages = {_address(wide[name]): parameter.detach() for name, parameter in narrow.items()}
    module._parameters = {**stored, **wide}
    try:
        with saved_tensors_hooks(partial(_kept, storages), _given_back):
            return forward(*inputs, **options)
    finally:
        module._parameters = stored


@dataclass(frozen=True, eq=False)
class _NarrowView:
    """What autograd keeps in the place of a view of a widened weight."""

    stored: Tensor
    size: torch.Size
    stride: tuple[int, ...]
    offset: int


def _kept(storages: dict[int, Tensor], saved: Tensor) -> Tensor | _NarrowView:
    stored = storages.get(_address(saved))
    return saved if stored is None else _NarrowView(stored, saved.size(), saved.stride(), int(saved.storage_offset()))


def _given_back(kept: Tensor | _NarrowView) -> Tensor:
    if isinstance(kept, Tensor):
        return kept
    return kept.stored.float().as_strided(kept.size, kept.stride, kept.offset)


def _address(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()
