"""The arms: what a dictionary is trained on, and how. All else is equal."""

from dataclasses import dataclass
from typing import Any

__all__ = [
    "ARMS",
    "BROAD",
    "DOMAIN",
    "FROZEN_DECODER",
    "NULL_ARMS",
    "NULL_TITLES",
    "RANDOM_HOST",
    "TRAINED_NULLS",
    "TRAINED_TITLES",
    "Arm",
    "Stage",
]

DOMAIN, BROAD = "domain", "broad"
FROZEN_DECODER, RANDOM_HOST = "frozen-decoder", "random-host"
TRAINED_NULLS = (FROZEN_DECODER, RANDOM_HOST)
NULL_ARMS = ("random", "pca", *TRAINED_NULLS)
"""The first two are made without training (`cell_evaluation.null_arms`), the others by it (`trained_nulls`)."""
NULL_TITLES = {
    "random": "random directions",
    "pca": "principal components",
    FROZEN_DECODER: "frozen random decoder",
    RANDOM_HOST: "host of random weights",
}
"""Of their columns."""
TRAINED_TITLES = {name: NULL_TITLES[name] for name in TRAINED_NULLS}


@dataclass(frozen=True)
class Stage:
    """Some training on one text.

    Attributes:
        texts: Share of the tokens that each text gives.
        tokens: Tokens, as a multiple of what the profile gives a dictionary.
    """

    texts: tuple[tuple[str, float], ...]
    tokens: float = 1.0


@dataclass(frozen=True)
class Arm:
    """One way to train a dictionary.

    Attributes:
        name: Short.
        meaning: In a line.
        stages: One after the other; each goes on from the one before.
        settings: Of the training plan, where they differ from the other arms'.
    """

    name: str
    meaning: str
    stages: tuple[Stage, ...]
    settings: tuple[tuple[str, Any], ...] = ()

    @property
    def tokens(self) -> float:
        """All its tokens, as a multiple of what the profile gives a dictionary."""
        return sum(stage.tokens for stage in self.stages)


def _only(text: str, tokens: float = 1.0) -> Stage:
    return Stage(((text, 1.0),), tokens)


ARMS: dict[str, Arm] = {
    arm.name: arm
    for arm in (
        Arm("domain", "trained on domain text", (_only(DOMAIN),)),
        Arm("broad", "trained on broad text", (_only(BROAD),)),
        Arm("mix", "trained on equal parts of both", (Stage(((DOMAIN, 0.5), (BROAD, 0.5))),)),
        Arm("fine-tuned", "half on broad text, then half on domain text", (_only(BROAD, 0.5), _only(DOMAIN, 0.5))),
        Arm(
            "domain, bits",
            "trained on domain text with a penalty in bits: an active feature costs its self-information",
            (_only(DOMAIN),),
            (("objective", "description_length"),),
        ),
        Arm("broad x4", "trained on broad text with four times the tokens", (_only(BROAD, 4.0),)),
    )
}
"""`broad x4` is unmatched in tokens on purpose: a broad dictionary has usually seen far more text."""
