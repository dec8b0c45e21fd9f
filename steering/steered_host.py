"""A host whose sequences are steered, each in its own way."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from sae.dictionary.autoencoder import SAE
from sae.host.host import HostModel
from sae.host.sites import Site
from sae.host.token_batch import TokenBatch
from steering.batch_edits import BatchEdits
from steering.dictionaries import DEFAULT_TOKENS, Dictionaries
from steering.interventions import SteeringSpec
from steering.positions import PromptTokens
from steering.results import Steered, SteeredLogits, SteeredRow

__all__ = ["SteeredHost", "open_steered_host"]


@dataclass(frozen=True, eq=False)
class SteeredHost:
    """A host model and what it can be steered along.

    Attributes:
        host: The model.
        dictionaries: Its features, and how large activations are; loaded and measured as needed.
    """

    host: HostModel
    dictionaries: Dictionaries

    def generate(
        self,
        prompts: Sequence[PromptTokens],
        specs: Sequence[SteeringSpec],
        *,
        max_new_tokens: int,
        streamer: Any = None,
        **sampling: Any,
    ) -> list[SteeredRow]:
        """Continue every prompt under its own spec, all in one batch with a cache of keys and values.

        The prompt's tokens and every new one are steered as the spec's positions say. A row whose spec does nothing, or
        adds nothing, is continued exactly as without steering.

        Args:
            prompts: One a row.
            specs: One a row.
            max_new_tokens: Most tokens to add.
            streamer: Of transformers, as in `HostModel.generate`.
            sampling: `do_sample` and what belongs to it, as there.

        Raises:
            ValueError: A spec cannot be carried out, or prompt and continuation do not fit into the context.
        """
        batch = self.host.batch([prompt.ids for prompt in prompts])
        steering = self._edits(batch, prompts, specs, [0] * len(prompts))
        ids = self.host.generate(
            batch, max_new_tokens=max_new_tokens, edits=steering.host_edits(), streamer=streamer, **sampling
        ).cpu()
        new_ids = [until_end(self.host, row) for row in ids[:, batch.ids.shape[1] :]]
        steered = steering.steered([len(row) for row in new_ids])
        return [self._row(*each) for each in zip(prompts, new_ids, steered, strict=True)]

    def forward(
        self,
        prompts: Sequence[PromptTokens],
        specs: Sequence[SteeringSpec],
        continuations: Sequence[Int[Tensor, " _"]] | None = None,
        *,
        logits_to_keep: int = 0,
        capture: Collection[Site] = (),
    ) -> SteeredLogits:
        """Run prompts with given continuations once, steered as if the model had written these itself.

        Args:
            prompts: One a row.
            specs: One a row.
            continuations: Tokens after each prompt; none by default.
            logits_to_keep: Return the logits of this many last positions; 0 for all.
            capture: Sites whose activations to return.

        Raises:
            ValueError: As for `generate`.
        """
        following = continuations or [torch.zeros(0, dtype=torch.long)] * len(prompts)
        rows = [torch.cat([prompt.ids, new]) for prompt, new in zip(prompts, following, strict=True)]
        batch = self.host.batch(rows)
        steering = self._edits(batch, prompts, specs, [len(new) for new in following])
        run = self.host.forward(batch, steering.host_edits(), capture=capture, logits_to_keep=logits_to_keep)
        return SteeredLogits(batch, run.logits, steering.steered([1] * len(rows)), run.activations)

    def _edits(
        self,
        batch: TokenBatch,
        prompts: Sequence[PromptTokens],
        specs: Sequence[SteeringSpec],
        n_new: Sequence[int],
    ) -> BatchEdits:
        if len(specs) != len(prompts):
            raise ValueError(f"there are {len(prompts)} prompts and {len(specs)} specs, expected one spec a prompt")
        self.dictionaries.prepare(specs)
        return BatchEdits(self.dictionaries, batch, prompts, specs, n_new)

    def _row(self, prompt: PromptTokens, new_ids: Int[Tensor, " new"], steered: Steered) -> SteeredRow:
        text = self.host.tokenizer.decode(new_ids, skip_special_tokens=True)
        return SteeredRow(prompt, new_ids, text, int(new_ids[-1]) in self.host.end_of_text_ids, steered)


def until_end(host: HostModel, new_ids: Int[Tensor, " new"]) -> Int[Tensor, " kept"]:
    """The tokens up to the first that ends the text; what follows is padding."""
    ends = torch.isin(new_ids, torch.tensor(host.end_of_text_ids, dtype=new_ids.dtype)).nonzero()[:1, 0]
    return new_ids[: int(ends[0]) + 1] if len(ends) else new_ids


def open_steered_host(
    model: str | Path | HostModel = "clinic",
    *,
    saes: str | Path | Mapping[Site, SAE] | None = None,
    statistics: str | None = None,
    n_tokens: int = DEFAULT_TOKENS,
    seed: int = 0,
    device: str = "auto",
    dtype: str = "float32",
) -> SteeredHost:
    """Load a model to be steered.

    Args:
        model: A loaded host, a bundled name, a directory or a hub id.
        saes: Dictionaries by site, a directory of them, or a sae-lens release; those bundled with the model by default.
        statistics: Corpus that units of strength are measured by; by default what a dictionary was trained on.
        n_tokens: How many tokens of it.
        seed: Of a corpus that is generated.
        device: Where the model runs.
        dtype: Its precision.

    Raises:
        ValueError: There is no such model.
    """
    host = model if isinstance(model, HostModel) else HostModel.load(str(model), device=device, dtype=dtype)
    return SteeredHost(host, Dictionaries(host, saes=saes, statistics=statistics, n_tokens=n_tokens, seed=seed))
