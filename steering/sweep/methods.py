"""Ways to bring a model to an answer, each with a strength: what a sweep compares."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

from jaxtyping import Float, Int
from torch import Tensor

from sae.host.sites import Site
from steering.interventions import Intervention, SteeringSpec
from steering.positions import PromptTokens
from steering.steered_host import SteeredHost

__all__ = ["Continuation", "DirectionMethod", "Method", "MethodRun", "continued", "kept_positions", "run_steered"]


@dataclass(frozen=True, eq=False)
class MethodRun:
    """What a model makes of prompts with given continuations of equal length, at the strength of each row.

    Attributes:
        logits: Where each token of the continuation, and the one after it, is due.
        activations: At the sites that were asked for, at these positions.
        norm_ratios: Measured |change| / |x| of each row; None where no activation is edited.
    """

    logits: Float[Tensor, "rows kept vocab"]
    activations: Mapping[Site, Float[Tensor, "rows kept d_model"]]
    norm_ratios: tuple[float | None, ...]


@dataclass(frozen=True, eq=False)
class Continuation:
    """What a model writes.

    Attributes:
        new_ids: Its tokens, the end-of-text token included if there was one.
        text: What they say.
        has_ended: Whether the model ended it itself.
    """

    new_ids: Int[Tensor, " new"]
    text: str
    has_ended: bool


@runtime_checkable
class Method(Protocol):
    """At strength 0 a method does nothing, to the bit."""

    @property
    def name(self) -> str:
        """For tables."""
        ...

    @property
    def unit(self) -> str:
        """What strengths are measured in."""
        ...

    def forward(
        self,
        prompts: Sequence[PromptTokens],
        strengths: Sequence[float],
        continuations: Sequence[Int[Tensor, " n"]],
        *,
        capture: Collection[Site] = (),
    ) -> MethodRun:
        """Run each prompt with its continuation, as if the model had written that itself at this strength.

        Args:
            prompts: One a row.
            strengths: One a row.
            continuations: One a row, all of one length, which may be 0.
            capture: Sites whose activations to return.
        """
        ...

    def generate(
        self, prompts: Sequence[PromptTokens], strengths: Sequence[float], *, max_new_tokens: int
    ) -> list[Continuation]:
        """Continue each prompt greedily, at the strength of its row."""
        ...


def kept_positions(continuations: Sequence[Int[Tensor, " n"]]) -> int:
    """How many last positions of a row decide a token of its continuation or the one after it."""
    return 1 + len(continuations[0])


def run_steered(
    steered: SteeredHost,
    prompts: Sequence[PromptTokens],
    specs: Sequence[SteeringSpec],
    continuations: Sequence[Int[Tensor, " n"]],
    capture: Collection[Site],
) -> MethodRun:
    """What specs make of prompts and their continuations; the norm ratio of a spec without edits is None."""
    n_kept = kept_positions(continuations)
    run = steered.forward(prompts, specs, continuations, logits_to_keep=n_kept, capture=capture)
    activations = {site: each[:, -n_kept:] for site, each in run.activations.items()}
    return MethodRun(run.logits, activations, tuple(each.norm_ratio for each in run.steered))


def continued(
    steered: SteeredHost, prompts: Sequence[PromptTokens], specs: Sequence[SteeringSpec], *, max_new_tokens: int
) -> list[Continuation]:
    """What the model writes under specs."""
    rows = steered.generate(prompts, specs, max_new_tokens=max_new_tokens)
    return [Continuation(row.new_ids, row.text, row.has_ended) for row in rows]


@dataclass(frozen=True, eq=False)
class DirectionMethod:
    """One edit, of a feature or along another direction, at several strengths.

    Attributes:
        name: For tables.
        steered: The model.
        edit: What is done; its value is set to the strength of each row.
    """

    name: str
    steered: SteeredHost
    edit: Intervention

    @property
    def unit(self) -> str:
        """Of the edit's strength."""
        return self.edit.unit

    def forward(
        self,
        prompts: Sequence[PromptTokens],
        strengths: Sequence[float],
        continuations: Sequence[Int[Tensor, " n"]],
        *,
        capture: Collection[Site] = (),
    ) -> MethodRun:
        """See `Method`."""
        run = run_steered(self.steered, prompts, self._specs(strengths), continuations, capture)
        ratios = [ratio if strength else 0.0 for ratio, strength in zip(run.norm_ratios, strengths, strict=True)]
        return replace(run, norm_ratios=tuple(ratios))

    def generate(
        self, prompts: Sequence[PromptTokens], strengths: Sequence[float], *, max_new_tokens: int
    ) -> list[Continuation]:
        """See `Method`."""
        return continued(self.steered, prompts, self._specs(strengths), max_new_tokens=max_new_tokens)

    def _specs(self, strengths: Sequence[float]) -> list[SteeringSpec]:
        # some operations change something at 0 too, such as a clamp
        return [SteeringSpec((self.edit.with_value(strength),) if strength else ()) for strength in strengths]
