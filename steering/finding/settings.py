"""What is asked of a search for features."""

from dataclasses import dataclass

__all__ = ["FindSettings"]


@dataclass(frozen=True)
class FindSettings:
    """How features are looked for and verified.

    Attributes:
        target: The wanted answer, one token after a space.
        n_candidates: Of each site and way of finding, those with the largest input score.
        n_verified: Features, the best by output score, that are swept.
        n_scoring: Prompts of which output scores are the mean.
        n_prompts: Prompts of other documents again, of which half choose the strength.
        strengths: In `resid`, the length of the change beside the stream's.
        n_texts: Unrelated texts of each domain.
        n_tokens: Tokens of each that are predicted.
        max_new_tokens: Of a continuation.
        corpus_tokens: Tokens of the corpus that are looked at for risk cards.
        seed: Of all that is random.
    """

    target: str
    n_candidates: int = 16
    n_verified: int = 5
    n_scoring: int = 24
    n_prompts: int = 32
    strengths: tuple[float, ...] = (0.25, 0.5, 1.0, 1.5, 2.0)
    n_texts: int = 12
    n_tokens: int = 8
    max_new_tokens: int = 16
    corpus_tokens: int = 20_000
    seed: int = 0
