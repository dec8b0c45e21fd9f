"""Token ids as the host is fed them, and which positions are real and may carry nodes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Int
from torch import Tensor

__all__ = ["TokenBatch"]


@dataclass(frozen=True, eq=False)
class TokenBatch:
    """Rows of tokens, padded on the left to one length.

    Attributes:
        ids: Token ids, BOS included; padding holds any valid id.
        attention_mask: True at real tokens.
        node_mask: True where circuit nodes may sit: real tokens other than BOS. Splicing leaves all the rest
            untouched.
    """

    ids: Int[Tensor, "batch seq"]
    attention_mask: Bool[Tensor, "batch seq"]
    node_mask: Bool[Tensor, "batch seq"]

    @classmethod
    def from_rows(cls, rows: Sequence[Int[Tensor, " _"]], bos_token_id: int | None) -> "TokenBatch":
        """Rows of any lengths, padded on the left to the longest.

        Args:
            rows: Token ids as the model is fed them.
            bos_token_id: The token that carries no nodes, if there is one.

        Raises:
            ValueError: There are no rows, or one is empty.
        """
        lengths = [len(row) for row in rows]
        if min(lengths, default=0) == 0:
            raise ValueError(f"cannot batch rows of lengths {lengths}, expected rows of at least one token")
        ids = torch.zeros(len(rows), max(lengths), dtype=torch.long)
        attention_mask = torch.zeros(ids.shape, dtype=torch.bool)
        for index, row in enumerate(rows):
            ids[index, -len(row) :] = row
            attention_mask[index, -len(row) :] = True
        carries_nodes = ids != bos_token_id if bos_token_id is not None else torch.ones_like(attention_mask)
        return cls(ids, attention_mask, attention_mask & carries_nodes)

    @property
    def position_ids(self) -> Int[Tensor, "batch seq"]:
        """Positions counted from each row's first real token; 0 at padding."""
        return (self.attention_mask.long().cumsum(-1) - 1).clamp(min=0)

    @property
    def model_inputs(self) -> dict[str, Any]:
        """What a transformers model is called with, to run the rows once."""
        return {
            "input_ids": self.ids,
            "attention_mask": self.attention_mask,
            "position_ids": self.position_ids,
            "use_cache": False,
        }

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return self.ids.shape[0]

    def repeat(self, n: int) -> "TokenBatch":
        """The whole batch `n` times over: row `i` of copy `k` is row `k * n_rows + i`.

        Raises:
            ValueError: `n` is less than 1.
        """
        if n < 1:
            raise ValueError(f"cannot repeat a batch {n} times, expected at least once")
        return self._with_each(lambda tensor: tensor.repeat(n, 1))

    def to(self, device: torch.device | str) -> "TokenBatch":
        """The same batch on another device."""
        return self._with_each(lambda tensor: tensor.to(device))

    def _with_each(self, change: Callable[[Tensor], Tensor]) -> "TokenBatch":
        return TokenBatch(change(self.ids), change(self.attention_mask), change(self.node_mask))
