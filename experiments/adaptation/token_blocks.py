"""A corpus as rows of equal length, and the order in which training reads them."""

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Int
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from sae.progress import progress_counter
from sae.written_whole import written_whole

__all__ = ["TokenBlocks", "rows_of_pass"]

TEXTS_PER_CALL = 256


@dataclass(frozen=True, eq=False)
class TokenBlocks:
    """Rows of tokens: documents laid end to end, each with a BOS before and an EOS behind where there are such.

    Attributes:
        ids: The rows.
        n_documents: How many documents they hold, the last one perhaps in part.
    """

    ids: Int[Tensor, "blocks context"]
    n_documents: int

    @classmethod
    def pack(cls, tokenizer: Any, texts: Iterable[str], *, context_length: int, n_tokens: int) -> "TokenBlocks":
        """Read documents until they fill `n_tokens` tokens or end.

        Args:
            tokenizer: A transformers tokenizer.
            texts: Documents, with or without end.
            context_length: Tokens of a row.
            n_tokens: Tokens wanted; the last row that is not full is left out.

        Raises:
            ValueError: The documents do not fill one row.
        """
        wanted = max(context_length, n_tokens)
        rows: list[np.ndarray] = []
        n_read = 0
        with progress_counter(wanted, "tokenise", unit="token") as bar:
            for row in _encoded(tokenizer, texts):
                rows.append(row)
                n_read += len(row)
                bar.update(len(row))
                if n_read >= wanted:
                    break
        n_blocks = min(n_read, wanted) // context_length
        if n_blocks == 0:
            raise ValueError(
                f"the corpus holds {n_read} tokens in {len(rows)} documents that may be trained on, expected at "
                f"least one row of {context_length}; give more text or a smaller context"
            )
        flat = np.concatenate(rows)[: n_blocks * context_length]
        return cls(torch.from_numpy(flat).view(n_blocks, context_length), len(rows))

    @property
    def n_tokens(self) -> int:
        """Tokens of all rows."""
        return self.ids.numel()

    @property
    def digest(self) -> str:
        """SHA-256 of the tokens, in hexadecimal."""
        return hashlib.sha256(self.ids.numpy().tobytes()).hexdigest()

    def save(self, path: Path, record: dict[str, Any]) -> None:
        """Write to `path`, with a record of what they were made from."""
        with written_whole(path) as part:
            save_file({"ids": self.ids}, part, metadata={"record": json.dumps(record), "n": str(self.n_documents)})

    @classmethod
    def load(cls, path: Path, record: dict[str, Any]) -> "TokenBlocks | None":
        """Read what `save` wrote; None where there is nothing, or it was made from something else."""
        if not path.is_file():
            return None
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata()
            if json.loads(metadata["record"]) != json.loads(json.dumps(record)):
                return None
            return cls(file.get_tensor("ids"), int(metadata["n"]))


def rows_of_pass(number: int, *, n_blocks: int, batch_size: int, seed: int) -> Int[Tensor, " {batch_size}"]:
    """Which rows pass `number` reads: every epoch goes once through all of them, in an order of its own.

    A function of its arguments alone, so that the number says where an interrupted run continues.
    """
    places = range(number * batch_size, (number + 1) * batch_size)
    return torch.stack([_order(n_blocks, seed, place // n_blocks)[place % n_blocks] for place in places])


@lru_cache(maxsize=2)
def _order(n_blocks: int, seed: int, epoch: int) -> Int[Tensor, " {n_blocks}"]:
    digest = hashlib.sha256(f"{seed} {epoch}".encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))
    return torch.randperm(n_blocks, generator=generator)


def _encoded(tokenizer: Any, texts: Iterable[str]) -> Iterator[np.ndarray]:
    """One array a document."""
    bos, eos = tokenizer.bos_token_id, tokenizer.eos_token_id
    remaining = iter(texts)
    while some := list(islice(remaining, TEXTS_PER_CALL)):
        for ids in tokenizer(some, add_special_tokens=False, verbose=False)["input_ids"]:
            row = [*([] if bos is None else [bos]), *ids, *([] if eos is None else [eos])]
            yield np.asarray(row, dtype=np.int32)
