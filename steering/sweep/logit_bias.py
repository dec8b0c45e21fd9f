"""Steering without the model's inside: the target's logit is raised wherever a token is decided."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor

from sae.host.host import HostModel
from sae.host.sites import Site
from steering.positions import PromptTokens, position_mask
from steering.steered_host import until_end
from steering.sweep.methods import Continuation, MethodRun, kept_positions

__all__ = ["LogitBias"]


@dataclass(frozen=True, eq=False)
class LogitBias:
    """A constant on the target's logit; the strength is that constant, in nats.

    Attributes:
        host: The model.
        target_id: Whose logit is raised.
        positions: Tokens at which what follows is decided with the bias, named as those of an edit.
    """

    host: HostModel
    target_id: int
    positions: str
    name: str = "logit bias"
    unit: str = "nats"

    def forward(
        self,
        prompts: Sequence[PromptTokens],
        strengths: Sequence[float],
        continuations: Sequence[Int[Tensor, " n"]],
        *,
        capture: Collection[Site] = (),
    ) -> MethodRun:
        """See `Method`."""
        n_kept = kept_positions(continuations)
        rows = [torch.cat([prompt.ids, new]) for prompt, new in zip(prompts, continuations, strict=True)]
        batch = self.host.batch(rows)
        run = self.host.forward(batch, capture=capture, logits_to_keep=n_kept)
        logits = run.logits.clone()
        for row, (prompt, strength) in enumerate(zip(prompts, strengths, strict=True)):
            acting = position_mask(batch, row, prompt, self.positions, n_new=n_kept - 1)[-n_kept:]
            logits[row, acting.to(logits.device), self.target_id] += strength
        activations = {site: each[:, -n_kept:] for site, each in run.activations.items()}
        return MethodRun(logits, activations, (None,) * len(rows))

    def generate(
        self, prompts: Sequence[PromptTokens], strengths: Sequence[float], *, max_new_tokens: int
    ) -> list[Continuation]:
        """See `Method`. Every token is a pass of its own over the whole text: generation knows no bias a row."""
        ends = torch.tensor(self.host.end_of_text_ids, dtype=torch.long)
        written = torch.zeros(len(prompts), 0, dtype=torch.long)
        for _ in range(max_new_tokens):
            logits = self.forward(prompts, strengths, list(written)).logits[:, -1]
            written = torch.cat([written, logits.argmax(-1).cpu()[:, None]], dim=1)
            if torch.isin(written, ends).any(1).all():
                break
        return [self._continuation(until_end(self.host, row)) for row in written]

    def _continuation(self, new_ids: Int[Tensor, " new"]) -> Continuation:
        text = self.host.tokenizer.decode(new_ids, skip_special_tokens=True)
        return Continuation(new_ids, text, int(new_ids[-1]) in self.host.end_of_text_ids)
