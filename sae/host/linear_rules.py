"""Parts of a model with their own values and other gradients: what a linearisation is made of.

Each rule is called in the place of a module's forward. Values are preserved bit for bit, because a gradient is lent
as `value + (linear - linear.detach())`. A rule calls the module on a detached input, so that whoever reads the module's
output on the way and puts a leaf in its place still gets a gradient there.
"""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = [
    "Forward",
    "Rule",
    "half",
    "held",
    "held_pattern",
    "layer_norm",
    "offset_rms_norm",
    "plain",
    "ratio",
    "rms_norm",
]

Forward = Callable[..., Tensor]

Rule = Callable[[Any, Forward, Tensor], Tensor]
"""From a module, its own forward and its input to its output with another gradient."""


def rms_norm(module: Any, forward: Forward, x: Float[Tensor, "*batch width"]) -> Float[Tensor, "*batch width"]:
    """An RMSNorm whose scale is held."""
    scale = torch.rsqrt(x.detach().float().pow(2).mean(-1, keepdim=True) + module.variance_epsilon)
    return _lend((module.weight * x * scale).to(x.dtype), forward(x.detach()))


def offset_rms_norm(module: Any, forward: Forward, x: Float[Tensor, "*batch width"]) -> Float[Tensor, "*batch width"]:
    """An RMSNorm that stores its weights less 1, as Gemma's; its scale is held."""
    scale = torch.rsqrt(x.detach().float().pow(2).mean(-1, keepdim=True) + module.eps)
    return _lend(((1 + module.weight) * x * scale).to(x.dtype), forward(x.detach()))


def layer_norm(module: Any, forward: Forward, x: Float[Tensor, "*batch width"]) -> Float[Tensor, "*batch width"]:
    """A LayerNorm whose scale is held; the mean is subtracted as ever, being linear."""
    scale = torch.rsqrt(x.detach().float().var(-1, keepdim=True, correction=0) + module.eps)
    centred = x - x.mean(-1, keepdim=True)
    return _lend((module.weight * centred * scale).to(x.dtype), forward(x.detach()))


def held(module: Any, forward: Forward, x: Tensor) -> Tensor:
    """A module through which no gradient passes."""
    return forward(x).detach()


def held_pattern(head_width: int) -> Rule:
    """For a projection that makes queries, keys and values head by head: only the values pass a gradient."""

    def rule(module: Any, forward: Forward, x: Tensor) -> Tensor:
        heads = forward(x).unflatten(-1, (-1, 3 * head_width))
        pattern, values = heads.split((2 * head_width, head_width), dim=-1)
        return torch.cat([pattern.detach(), values], dim=-1).flatten(-2)

    return rule


def ratio(module: Any, forward: Forward, x: Tensor) -> Tensor:
    """An activation as x * [act(x) / x] with the bracket held; where x is 0 nothing passes."""
    value = forward(x.detach())
    slope = torch.where(x == 0, 0, value / torch.where(x == 0, 1, x)).detach()
    return _lend(x * slope, value)


def half(rule: Rule) -> Rule:
    """Half of a rule's gradient: where both factors of a product are halved, it passes on its value once, not twice."""

    def halved(module: Any, forward: Forward, x: Tensor) -> Tensor:
        value = rule(module, forward, x)
        return _lend(0.5 * value, value.detach())

    return halved


def plain(module: Any, forward: Forward, x: Tensor) -> Tensor:
    """The module as it is."""
    return forward(x)


def _lend(linear: Tensor, value: Tensor) -> Tensor:
    """`value`, with the gradient of `linear` besides its own."""
    return value + (linear - linear.detach())
