"""What comes out of a steered run, with what every edit came to."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from jaxtyping import Float, Int
from torch import Tensor

from sae.host.sites import Site
from sae.host.token_batch import TokenBatch
from steering.interventions import Intervention, SteeringSpec
from steering.positions import PromptTokens

__all__ = ["AppliedEdit", "Steered", "SteeredLogits", "SteeredRow"]

NOT_MEASURED = ("target_rate", "target_logit", "kl_off_target", "delta_ce", "repetition")
"""Keys of a row that a generation by itself says nothing of."""


@dataclass(frozen=True)
class AppliedEdit:
    """What an intervention came to in one sequence.

    Attributes:
        intervention: As it was asked for, with its positions.
        strengths: Its strength in every unit, by unit; None where a unit cannot be measured. None as a whole for
            operations without a strength.
        norm_ratio: Measured |change| / |x|, the mean over the edited tokens; None where none was edited.
        n_tokens: How many tokens that were.
    """

    intervention: Intervention
    strengths: Mapping[str, float | None] | None
    norm_ratio: float | None
    n_tokens: int

    def to_json(self) -> dict[str, Any]:
        """The fields by name, those of the intervention among them."""
        numbers = {"strengths": self.strengths, "norm_ratio": self.norm_ratio, "n_tokens": self.n_tokens}
        return {**self.intervention.to_json(), **numbers}


@dataclass(frozen=True)
class Steered:
    """What steering came to in one sequence.

    Attributes:
        spec: What was asked for.
        edits: What each intervention came to, in the order of the spec.
        norm_ratio: Measured |change| / |x| of all edits of a site together, the mean over its edited tokens; of several
            sites the largest; None where nothing was edited.
    """

    spec: SteeringSpec
    edits: tuple[AppliedEdit, ...]
    norm_ratio: float | None


@dataclass(frozen=True, eq=False)
class SteeredRow:
    """A steered continuation.

    Attributes:
        prompt: What was continued.
        new_ids: The new tokens, the end-of-text token included if there was one.
        text: What they say, special tokens left out.
        has_ended: Whether the model ended the text itself.
        steered: What steering came to.
    """

    prompt: PromptTokens
    new_ids: Int[Tensor, " new"]
    text: str
    has_ended: bool
    steered: Steered

    def to_json(self) -> dict[str, Any]:
        """A row of `steering generate --json`; what it does not measure is null.

        `strength`, `unit`, `strengths` and `positions` are those of a single edit, null where there are several.
        """
        [single] = self.steered.edits if len(self.steered.edits) == 1 else [None]
        asked = None if single is None else single.intervention
        return {
            "prompt": self.prompt.text,
            "text": self.text,
            "n_new_tokens": len(self.new_ids),
            "has_ended": self.has_ended,
            "strength": None if asked is None else asked.value,
            "unit": None if asked is None or not asked.has_strength else asked.unit,
            "strengths": None if single is None else single.strengths,
            "norm_ratio": self.steered.norm_ratio,
            "positions": None if asked is None else asked.positions,
            **dict.fromkeys(NOT_MEASURED),
            "edits": [each.to_json() for each in self.steered.edits],
        }


@dataclass(frozen=True, eq=False)
class SteeredLogits:
    """What a steered model makes of given texts.

    Attributes:
        batch: The prompts, each with its continuation, padded on the left.
        logits: Of the last positions that were asked for.
        steered: What steering came to, row by row.
        activations: At the sites that were asked for, at all positions, after any edit.
    """

    batch: TokenBatch
    logits: Float[Tensor, "batch kept vocab"]
    steered: tuple[Steered, ...]
    activations: Mapping[Site, Float[Tensor, "batch seq d_model"]]
