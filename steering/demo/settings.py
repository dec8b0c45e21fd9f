"""What a demonstration is asked for."""

from dataclasses import dataclass

from steering.directions import Feature

__all__ = ["DemoSettings"]


@dataclass(frozen=True)
class DemoSettings:
    """What a demonstration is of; what is None is chosen.

    Attributes:
        target: The wanted answer, one token after a space.
        feature: What to move.
        prompt: The case.
        follow_up: Put behind the model's answer, to be continued too; None for that of a bundled model.
        n_prompts: Other cases: half of them choose, the other half reports.
        n_texts: Unrelated texts of each domain.
        n_tokens: Tokens of each that are predicted.
        max_new_tokens: Most tokens of a continuation.
        seed: Of everything random.
    """

    target: str | None = None
    feature: Feature | None = None
    prompt: str | None = None
    follow_up: str | None = None
    n_prompts: int = 48
    n_texts: int = 24
    n_tokens: int = 8
    max_new_tokens: int = 16
    seed: int = 0
