"""How much is measured of a dictionary beyond its fit."""

from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["MeasureSettings"]


@dataclass(frozen=True)
class MeasureSettings:
    """Sizes of the second stage. Another value makes finished records stale, and they are measured again.

    Attributes:
        tokens: Held-out tokens of the domain's text, for the split of the error and for explanations.
        features: Features of a dictionary that are explained, drawn evenly over log density.
        examples: Active windows that test an explanation, a multiple of ten; as many inactive ones.
        explaining: Documents in which a feature must be active to be explained.
        labelled: Documents with marked concepts, for localisation and absorption.
        permutations: Draws of the null of localisation.
        classified: Documents with known classes, for sparse probes.
        seed: Of everything random.
    """

    tokens: int = 40_000
    features: int = 40
    examples: int = 20
    explaining: int = 20
    labelled: int = 400
    permutations: int = 100
    classified: int = 600
    seed: int = 0

    def to_json(self) -> dict[str, Any]:
        """The fields by name."""
        return asdict(self)
