"""Prompts of which only the last token is moved: what comes before it, and below the site, runs once.

The same as `SteeredHost.forward` with `add` edits at `last`, which is the definition; here many changes of the same
prompts share all that they have in common.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sae.host.host import HostModel
from sae.host.sites import Site
from sae.host.token_batch import TokenBatch

__all__ = ["LastTokenRuns"]

ROWS_PER_PASS = 512


@dataclass(frozen=True, eq=False)
class LastTokenRuns:
    """Prompts and what the model makes of them, ready to go on from some sites.

    Attributes:
        host: The model.
        batch: The prompts, one a row, each with the continuation.
        n_kept: Last positions whose logits are wanted: the prompt's last token and those of the continuation.
        activations: At each site.
        plain_logits: Of these positions, where nothing is changed.
    """

    host: HostModel
    batch: TokenBatch
    n_kept: int
    activations: dict[Site, Float[Tensor, "prompts seq d_model"]]
    plain_logits: Float[Tensor, "prompts kept vocab"]

    @classmethod
    def record(
        cls,
        host: HostModel,
        prompts: Sequence[Int[Tensor, " _"]],
        sites: Sequence[Site],
        *,
        continuation: Sequence[int] = (),
    ) -> "LastTokenRuns":
        """Run prompts once.

        Args:
            host: The model.
            prompts: Token ids as they are fed, at least one prompt.
            sites: Where changes will be made.
            continuation: Tokens that follow every prompt; they see the change but are not changed themselves.

        Raises:
            ValueError: There is no prompt, or the model lacks a site.
        """
        following = torch.tensor(list(continuation), dtype=torch.long)
        batch, n_kept = host.batch([torch.cat([ids, following]) for ids in prompts]), 1 + len(continuation)
        passed = host.forward(batch, capture=tuple(dict.fromkeys(sites)), logits_to_keep=n_kept)
        return cls(host, batch, n_kept, passed.activations, passed.logits.float())

    def __len__(self) -> int:
        return self.batch.n_rows

    def logits(
        self, site: Site, changes: Float[Tensor, "changes d_model"]
    ) -> Iterator[Float[Tensor, "prompts kept vocab"]]:
        """Logits of all prompts under each change, one change after another.

        Args:
            site: One that was recorded.
            changes: Each is added to the last token of every prompt.
        """
        per_pass = max(1, ROWS_PER_PASS // len(self))
        for some in changes.to(self.host.device).split(per_pass):
            yield from self._logits_of(site, some).unflatten(0, (len(some), len(self)))

    def norm_ratios(self, site: Site, changes: Float[Tensor, "changes d_model"]) -> Float[Tensor, "changes prompts"]:
        """How long each change is beside the activation that it is added to, |change| / |x|."""
        return changes.norm(dim=-1)[:, None] / self.activations[site][:, -self.n_kept].float().norm(dim=-1).to(
            changes.device
        )

    def _logits_of(self, site: Site, changes: Float[Tensor, "some d_model"]) -> Float[Tensor, "rows kept vocab"]:
        """Row `i` of change `k` is row `k * prompts + i`."""
        held = self.activations[site].repeat(len(changes), 1, 1)
        held[:, -self.n_kept] += changes.repeat_interleave(len(self), 0).to(held.dtype)
        batch = self.batch.repeat(len(changes))
        return self.host.forward_from(batch, site, held, logits_to_keep=self.n_kept).float()
