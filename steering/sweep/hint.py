"""Steering by words: a hint that is put before the prompt."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from jaxtyping import Int
from torch import Tensor

from sae.host.sites import Site
from steering.interventions import SteeringSpec
from steering.positions import PromptTokens, read_prompt
from steering.steered_host import SteeredHost
from steering.sweep.methods import Continuation, MethodRun, continued, run_steered

__all__ = ["HintMethod"]


@dataclass(frozen=True, eq=False)
class HintMethod:
    """A sentence before every prompt; the strength is how often it is said, a whole number.

    Between two strengths stands a model that is given the weaker or the stronger hint by chance: its mean effects lie
    on the line between theirs.

    Attributes:
        steered: The model.
        hint: The sentence.
    """

    steered: SteeredHost
    hint: str
    name: str = "prompt"
    unit: str = "hints"

    def forward(
        self,
        prompts: Sequence[PromptTokens],
        strengths: Sequence[float],
        continuations: Sequence[Int[Tensor, " n"]],
        *,
        capture: Collection[Site] = (),
    ) -> MethodRun:
        """See `Method`."""
        hinted, specs = self._hinted(prompts, strengths), [SteeringSpec()] * len(prompts)
        return run_steered(self.steered, hinted, specs, continuations, capture)

    def generate(
        self, prompts: Sequence[PromptTokens], strengths: Sequence[float], *, max_new_tokens: int
    ) -> list[Continuation]:
        """See `Method`."""
        hinted, specs = self._hinted(prompts, strengths), [SteeringSpec()] * len(prompts)
        return continued(self.steered, hinted, specs, max_new_tokens=max_new_tokens)

    def _hinted(self, prompts: Sequence[PromptTokens], strengths: Sequence[float]) -> list[PromptTokens]:
        return [self._with_hints(prompt, strength) for prompt, strength in zip(prompts, strengths, strict=True)]

    def _with_hints(self, prompt: PromptTokens, strength: float) -> PromptTokens:
        n_hints = int(strength)
        if n_hints != strength or n_hints < 0:
            raise ValueError(f"a hint cannot be given {strength} times, expected a whole number from 0")
        if n_hints == 0:
            return prompt
        return read_prompt(self.steered.host, " ".join([*[self.hint] * n_hints, prompt.text]))
