"""What a model answers under edits, and how far its answer's distribution moves."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sae.host.host import HostModel
from steering.interventions import SteeringSpec
from steering.positions import PromptTokens
from steering.side_effects import divergence
from steering.steered_host import SteeredHost

__all__ = ["AnswerDistributions", "edited", "plain"]

BATCH_ROWS = 128


@dataclass(frozen=True, eq=False)
class AnswerDistributions:
    """Of each prompt the log-probabilities of the next token."""

    log_probs: Float[Tensor, "prompts vocab"]

    @property
    def answers(self) -> Int[Tensor, " prompts"]:
        """The likeliest token of each."""
        return self.log_probs.argmax(-1)

    def kl(self, before: "AnswerDistributions") -> Float[Tensor, " prompts"]:
        """KL(these || before) in nats."""
        return divergence(self.log_probs, before.log_probs).to(self.log_probs)


def plain(host: HostModel, prompts: Sequence[str]) -> AnswerDistributions:
    """Without edits."""
    rows = [host.tokenise(prompt) for prompt in prompts]

    def run(chosen: Sequence[int]) -> Tensor:
        return host.forward(host.batch([rows[index] for index in chosen]), logits_to_keep=1).logits[:, -1]

    return _in_batches([len(row) for row in rows], host.vocab_size, run)


def edited(steered: SteeredHost, prompts: Sequence[PromptTokens], specs: Sequence[SteeringSpec]) -> AnswerDistributions:
    """Each prompt under its own edits."""

    def run(chosen: Sequence[int]) -> Tensor:
        batch = steered.forward([prompts[i] for i in chosen], [specs[i] for i in chosen], logits_to_keep=1)
        return batch.logits[:, -1]

    return _in_batches([len(prompt.ids) for prompt in prompts], steered.host.vocab_size, run)


def _in_batches(lengths: Sequence[int], vocab_size: int, run) -> AnswerDistributions:  # type: ignore[no-untyped-def]
    """`run` on rows of similar length, put back into order."""
    order = sorted(range(len(lengths)), key=lambda index: lengths[index])
    found = torch.zeros(len(lengths), vocab_size)
    for start in range(0, len(order), BATCH_ROWS):
        chosen = order[start : start + BATCH_ROWS]
        found[chosen] = run(chosen).float().cpu().log_softmax(-1)
    return AnswerDistributions(found)
