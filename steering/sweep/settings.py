"""What is asked of a sweep."""

import math
from dataclasses import dataclass

from steering.interventions import Intervention
from steering.positions import SPAN_PREFIX
from steering.sweep.building import BASELINES

__all__ = ["DEFAULT_HINT", "DEFAULT_STRENGTHS", "SweepSettings"]

DEFAULT_STRENGTHS = (0.0, 0.1, 0.2, 0.4, 0.8, 1.2)
DEFAULT_HINT = "The answer is {target}."


@dataclass(frozen=True)
class SweepSettings:
    """What is swept.

    Attributes:
        edit: At every strength, in its unit.
        target: The wanted answer.
        strengths: Of the edit, all of one sign; 0 is taken too.
        methods: What it is compared with, names of `BASELINES`.
        hint: The sentence of the method `prompt`, with `{target}` for the target.
        lexicon: Words that count in continuations; by default the target.
        n_prompts: Prompts, of which half choose the strength.
        n_examples: Prompts from which directions are learned.
        n_texts: Unrelated texts of each domain.
        n_tokens: Tokens of each that are predicted.
        max_new_tokens: Of a continuation.
        seed: Of all that is random.
    """

    edit: Intervention
    target: str
    strengths: tuple[float, ...] = DEFAULT_STRENGTHS
    methods: tuple[str, ...] = tuple(BASELINES)
    hint: str = DEFAULT_HINT
    lexicon: tuple[str, ...] = ()
    n_prompts: int = 48
    n_examples: int = 500
    n_texts: int = 24
    n_tokens: int = 16
    max_new_tokens: int = 24
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.edit.has_strength:
            raise ValueError(
                f"{self.edit.operation} has no strength to sweep, expected add, clamp, min, max or project"
            )
        if self.edit.positions.startswith(SPAN_PREFIX):
            raise ValueError(
                f"a sweep over prompts has no span {self.edit.positions!r}, expected all, prompt, generated or last"
            )
        if wrong := [value for value in self.strengths if not math.isfinite(value)]:
            raise ValueError(f"strength {wrong[0]} is not finite, expected numbers such as 0,0.2,0.4")
        if min(self.strengths, default=0.0) < 0 < max(self.strengths, default=0.0):
            raise ValueError(f"strengths {self.strengths} are of both signs, expected one; sweep each by itself")
        if not any(self.strengths):
            raise ValueError(f"strengths {self.strengths} hold none but 0, expected at least one that does something")

    @property
    def ordered(self) -> tuple[float, ...]:
        """The strengths from none upwards."""
        return tuple(sorted({0.0, *self.strengths}, key=abs))

    @property
    def words(self) -> tuple[str, ...]:
        """The lexicon."""
        return self.lexicon or (self.target,)
