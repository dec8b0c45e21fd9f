"""Reference prompts: what a lone prompt is compared with.

A reference file is one that `sae.prompt_files` reads. A bundled model brings its own, tokenised, in
`references.safetensors`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from jaxtyping import Int
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from sae.bundle import find_bundle
from sae.prompt_files import read_prompts
from sae.written_whole import written_whole

if TYPE_CHECKING:
    from sae.host.host import HostModel

__all__ = ["BUNDLED_REFERENCES", "ReferencePool", "bundled_references", "read_references"]

BUNDLED_REFERENCES = "references.safetensors"
N_REFERENCES = 16
NO_TOKEN = -1


@dataclass(frozen=True, eq=False)
class ReferencePool:
    """Tokenised prompts to choose references from.

    Attributes:
        token_ids: One prompt a row, all ending together, with -1 in front of the shorter ones.
    """

    token_ids: Int[Tensor, "prompts longest"]

    @classmethod
    def of(cls, prompts: Sequence[Int[Tensor, " _"]]) -> "ReferencePool":
        """A pool of tokenised prompts."""
        return cls(pad_sequence(list(prompts), batch_first=True, padding_value=NO_TOKEN, padding_side="left"))

    @classmethod
    def load(cls, path: Path) -> "ReferencePool":
        """A pool that was saved."""
        stored = load_file(path)
        lengths = stored["lengths"].long()
        token_ids = torch.full((len(lengths), int(lengths.max())), NO_TOKEN)
        columns = torch.arange(token_ids.shape[1])
        token_ids[columns >= token_ids.shape[1] - lengths[:, None]] = stored["token_ids"].long()
        return cls(token_ids)

    def save(self, path: Path) -> None:
        """Write the prompts one behind another, in as few bytes a token as the largest id allows."""
        is_token = self.token_ids != NO_TOKEN
        narrow = int(self.token_ids.max()) <= torch.iinfo(torch.int16).max
        tensors = {
            "token_ids": self.token_ids[is_token].to(torch.int16 if narrow else torch.int32),
            "lengths": is_token.sum(dim=1).to(torch.int32),
        }
        with written_whole(path) as part:
            save_file(tensors, part)

    def __len__(self) -> int:
        return len(self.token_ids)

    def sample(self, n: int, *, seed: int = 0) -> list[Int[Tensor, " _"]]:
        """`n` prompts at random, or all where there are fewer."""
        drawn = torch.randperm(len(self), generator=torch.Generator().manual_seed(seed))[:n]
        return [_without_padding(self.token_ids[i]) for i in drawn]

    def nearest(
        self, prompt_ids: Int[Tensor, " seq"], *, n: int = N_REFERENCES, seed: int = 0
    ) -> list[Int[Tensor, " _"]]:
        """The prompts that are most like a prompt in form: most tokens equal, aligned at the end.

        What a reference shares with the prompt cannot differ, so the circuit is left with what the prompt says.

        Args:
            prompt_ids: The prompt; one equal to it is left out.
            n: How many are wanted; fewer are returned where the pool is smaller.
            seed: Settles ties.

        Raises:
            ValueError: The pool holds nothing but the prompt.
        """
        order = torch.randperm(len(self), generator=torch.Generator().manual_seed(seed))
        by_likeness = order[self._equal_tokens(prompt_ids)[order].argsort(descending=True, stable=True)]
        # the prompt itself may be there more than once, but then it comes first
        nearest = (_without_padding(self.token_ids[i]) for i in by_likeness)
        others = (ids for ids in nearest if not torch.equal(ids, prompt_ids))
        chosen = [ids for ids, _ in zip(others, range(n), strict=False)]
        if not chosen:
            raise ValueError(
                "reference prompts: found none that differ from the prompt; give more with --reference FILE"
            )
        return chosen

    def _equal_tokens(self, prompt_ids: Int[Tensor, " seq"]) -> Int[Tensor, " prompts"]:
        """How many tokens are equal when both end together; the prompt's BOS does not count."""
        overlap = min(len(prompt_ids) - 1, self.token_ids.shape[1])
        if overlap == 0:
            return torch.zeros(len(self), dtype=torch.long)
        return (self.token_ids[:, -overlap:] == prompt_ids[-overlap:]).sum(dim=1)


def read_references(host: "HostModel", path: Path) -> ReferencePool:
    """The prompts of a user's file.

    Raises:
        ValueError: If the file cannot be read or holds no prompt.
    """
    return ReferencePool.of([host.tokenise(prompt) for prompt in read_prompts(path, what="reference file")])


def bundled_references(host: "HostModel") -> ReferencePool:
    """The prompts that a bundled model brings.

    Raises:
        ValueError: If the model brings none.
    """
    bundle = find_bundle(host.name)
    if bundle is None:
        raise ValueError(
            f"model {host.name!r} brings no reference prompts, which a prompt without contrast is compared with; "
            "give --contrast TEXT or --reference FILE"
        )
    bundle.check(BUNDLED_REFERENCES)
    return ReferencePool.load(bundle.path / BUNDLED_REFERENCES)


def _without_padding(row: Int[Tensor, " longest"]) -> Int[Tensor, " _"]:
    return row[row != NO_TOKEN]
