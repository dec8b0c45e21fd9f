"""All interventions of a batch at one site, as one edit of the stream that also notes how large it is.

Rows have edits of their own: an `EditSlot` is an operation on a target at some positions, with a strength for each row
that has it. To a row that has not it adds exactly zero.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain, repeat

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from sae.dictionary.autoencoder import SAE

__all__ = ["EditSlot", "SiteEdits"]

FEATURE_CHANGES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "clamp": lambda acts, value: torch.where((value < 0) & (acts <= 0), 0.0, value - acts),
    "min": lambda acts, value: (value - acts).relu(),
    "max": lambda acts, value: -(acts - value).relu(),
    "scale": lambda acts, value: (value - 1) * acts,
    "ablate": lambda acts, value: -acts,
}
"""Change of a feature's activation, from the activation [batch seq] and the strength [batch 1]."""


@dataclass(frozen=True, eq=False)
class EditSlot:
    """One operation, for every row that has it.

    Attributes:
        operation: One of `OPERATIONS`.
        direction: What coefficients multiply.
        feature: Its index in the site's dictionary; None for another direction.
        values: The strength of each row as a coefficient; any number in rows without it.
        at_prompt: The tokens of the first pass that are edited, none in rows without it.
        at_generated: The rows whose generated tokens are edited.
    """

    operation: str
    direction: Float[Tensor, " d_model"]
    feature: int | None
    values: Float[Tensor, " batch"]
    at_prompt: Bool[Tensor, "batch seq"]
    at_generated: Bool[Tensor, " batch"]


class SiteEdits:
    """The edit at one site, for one generation or one forward pass.

    The first call is for the prompts, those that follow are for one new token a row.

    Args:
        slots: What is done, at least one thing.
        sae: The site's dictionary, which operations on activations need.
    """

    def __init__(self, slots: Sequence[EditSlot], sae: SAE | None = None) -> None:
        self._sae = sae
        self._operations = [slot.operation for slot in slots]
        self._features = [slot.feature for slot in slots]
        self._directions = torch.stack([slot.direction.float() for slot in slots])
        self._lengths = self._directions.norm(dim=-1)
        self._values = torch.stack([slot.values for slot in slots], dim=-1)[:, None]  # [batch 1 slots]
        self._projected = [index for index, name in enumerate(self._operations) if name == "project"]
        self._reading = [index for index, name in enumerate(self._operations) if name in FEATURE_CHANGES]
        generated = torch.stack([slot.at_generated for slot in slots], dim=-1)[:, None]
        self._masks = chain([torch.stack([slot.at_prompt for slot in slots], dim=-1)], repeat(generated))
        self._ratio_sums: list[Float[Tensor, "batch ratios"]] = []
        self._n_edited: list[Float[Tensor, "batch ratios"]] = []

    @torch.no_grad()
    def __call__(
        self, read: Float[Tensor, "batch seq d_model"], x: Float[Tensor, "batch seq d_model"]
    ) -> Float[Tensor, "batch seq d_model"]:
        """The activations to go on with.

        Args:
            read: What the dictionary's encoder reads; the same as `x` unless it is a transcoder.
            x: The activations at the site.
        """
        mask = next(self._masks)
        coefficients = self._coefficients(read) * mask
        change = coefficients @ self._directions
        if self._projected:
            coefficients = self._with_projections(coefficients, x.float() + change, mask)
            change = coefficients @ self._directions
        self._note(x, coefficients, change, mask)
        return x + change.to(x.dtype)

    def norm_ratios(
        self, n_passes: Sequence[int]
    ) -> tuple[Float[Tensor, "batch ratios"], Float[Tensor, "batch ratios"]]:
        """How long changes were beside what they changed, |change| / |x|.

        Args:
            n_passes: The calls that count for each row: what ran after a row's end is left out.

        Returns:
            For each row and slot, and last for the site as a whole: the mean over the edited tokens, NaN where there
            were none, and their number.
        """
        sums, counts = torch.stack(self._ratio_sums), torch.stack(self._n_edited)  # [calls batch ratios]
        calls = torch.arange(len(sums), device=sums.device)[:, None]
        counts_for = (calls < torch.tensor(n_passes, device=sums.device))[..., None]
        n_edited = torch.where(counts_for, counts, 0.0).sum(0)
        return torch.where(counts_for, sums, 0.0).sum(0) / n_edited, n_edited

    def _coefficients(self, read: Float[Tensor, "batch seq d_model"]) -> Float[Tensor, "batch seq slots"]:
        """What each slot wants to add, projections aside, whether or not it acts there."""
        wanted = self._values.expand(-1, read.shape[1], -1).clone()
        wanted[..., self._projected] = 0.0
        if not self._reading:
            return wanted
        if self._sae is None:
            raise ValueError(f"{self._operations[self._reading[0]]} was asked for without a dictionary, expected one")
        feature_ids = torch.tensor([self._features[index] for index in self._reading], device=read.device)
        acts = self._sae.encode_features(read, feature_ids)
        for column, index in enumerate(self._reading):
            change = FEATURE_CHANGES[self._operations[index]]
            wanted[..., index] = change(acts[..., column], self._values[..., index])
        return wanted

    def _with_projections(
        self,
        coefficients: Float[Tensor, "batch seq slots"],
        changed: Float[Tensor, "batch seq d_model"],
        mask: Bool[Tensor, "batch seq slots"],
    ) -> Float[Tensor, "batch seq slots"]:
        """With the coefficients that solve <changed + sum_i c_i d_i, d_j> = v_j <d_j, d_j> for all that act."""
        directions, acting = self._directions[self._projected], mask[..., self._projected]
        gram = directions @ directions.T
        missing = self._values[..., self._projected] * gram.diagonal() - changed @ directions.T
        both = acting[..., :, None] & acting[..., None, :]
        identity = torch.eye(len(gram), device=gram.device)
        solved = torch.linalg.solve(torch.where(both, gram, identity), (missing * acting)[..., None])[..., 0]
        coefficients[..., self._projected] = solved
        return coefficients

    def _note(
        self,
        x: Float[Tensor, "batch seq d_model"],
        coefficients: Float[Tensor, "batch seq slots"],
        change: Float[Tensor, "batch seq d_model"],
        mask: Bool[Tensor, "batch seq slots"],
    ) -> None:
        sizes = torch.cat([coefficients.abs() * self._lengths, change.norm(dim=-1, keepdim=True)], dim=-1)
        edited = torch.cat([mask, mask.any(-1, keepdim=True)], dim=-1)
        ratios = torch.where(edited, sizes / x.float().norm(dim=-1, keepdim=True), 0.0)
        self._ratio_sums.append(ratios.sum(1))
        self._n_edited.append(edited.sum(1, dtype=torch.float32))
