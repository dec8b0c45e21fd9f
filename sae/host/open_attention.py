"""Attention opened between its projections: queries, keys and values come out, mixed values go in.

Every family of `sites.py` leaves the mixing of values to a function that transformers looks up by name. Under the name
of this file it is whatever the caller wants: one that only reads, or one that puts other values in.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.masking_utils import eager_mask

__all__ = ["Heads", "Mixer", "opened_attention"]

OPEN = "open_attention"


@dataclass(frozen=True, eq=False)
class Heads:
    """What one layer's attention mixes, of one row; rotated, and every query head with its own keys and values.

        pattern = softmax(cap(scale * query @ key^T) + mask),        mixed = pattern @ value

    where cap(s) is s, or softcap * tanh(s / softcap).
    """

    query: Float[Tensor, "heads tokens width"]
    key: Float[Tensor, "heads tokens width"]
    value: Float[Tensor, "heads tokens value_width"]
    mask: Float[Tensor, "seq seq"]
    """0 where a token sees another, hugely negative elsewhere; of the whole prompt, whatever tokens the others have."""
    scale: float
    softcap: float | None

    @cached_property
    def _scores(self) -> Float[Tensor, "heads seq seq"]:
        return self.scale * self.query @ self.key.transpose(-1, -2)

    @cached_property
    def pattern(self) -> Float[Tensor, "heads seq seq"]:
        """How much each token takes of each other one."""
        scores = self._scores
        capped = scores if self.softcap is None else self.softcap * (scores / self.softcap).tanh()
        return (capped + self.mask).softmax(dim=-1)

    @cached_property
    def mixed(self) -> Float[Tensor, "heads seq value_width"]:
        """What the output projection reads."""
        return self.pattern @ self.value

    @cached_property
    def score_slope(self) -> Float[Tensor, "heads seq seq"]:
        """Derivative of what is in the softmax by <query, key>."""
        if self.softcap is None:
            return torch.full_like(self.pattern, self.scale)
        return self.scale * (1 - (self._scores / self.softcap).tanh().square())


Mixer = Callable[[Heads], Float[Tensor, "heads tokens value_width"]]
"""From what attention would mix to what its output projection reads."""

_mixer: ContextVar[Mixer] = ContextVar("mixer")


@contextmanager
def opened_attention(model: Any, mixer: Mixer) -> Iterator[None]:
    """Let `mixer` mix the values of every layer of a transformers model while the block runs, for one row at a time."""
    config = model.config.get_text_config()
    usual = config._attn_implementation
    token = _mixer.set(mixer)
    config._attn_implementation = OPEN
    try:
        yield
    finally:
        config._attn_implementation = usual
        _mixer.reset(token)


def _mixed_by_the_caller(
    module: Any,
    query: Float[Tensor, "1 heads tokens width"],
    key: Float[Tensor, "1 groups tokens width"],
    value: Float[Tensor, "1 groups tokens value_width"],
    attention_mask: Float[Tensor, "1 1 seq seq"],
    *,
    scaling: float,
    softcap: float | None = None,
    **_: Any,
) -> tuple[Float[Tensor, "1 tokens heads value_width"], None]:
    n_repeats = query.shape[1] // key.shape[1]
    own_key, own_value = (x[0].repeat_interleave(n_repeats, dim=0) for x in (key, value))
    mixed = _mixer.get()(Heads(query[0], own_key, own_value, attention_mask[0, 0], scaling, softcap))
    return mixed.transpose(0, 1)[None], None


AttentionInterface.register(OPEN, _mixed_by_the_caller)
AttentionMaskInterface.register(OPEN, eager_mask)
