"""How to train a dictionary: sizes and schedules."""

from dataclasses import dataclass

__all__ = ["BatchTopKConfig"]


@dataclass(frozen=True)
class BatchTopKConfig:
    """How to train a BatchTopK dictionary.

    Attributes:
        d_sae: Number of features.
        k: Mean number of active features of a token; need not be whole.
        steps: Optimiser steps.
        batch_tokens: Tokens of a step.
        learning_rate: Peak rate of Adam, for activations normalised to unit variance.
        betas: Decay rates of Adam's moments.
        warmup_steps: Steps over which the learning rate rises linearly.
        decay_share: Share of the steps, the last ones, over which it falls linearly.
        initial_k_factor: Training begins with this many times `k` active features, so that none starts dead.
        anneal_share: Share of the steps, the first ones, over which k falls to its final value.
        log_every: Steps between two entries of the metrics.
        seed: Of the initial weights and of the order of tokens.
    """

    d_sae: int
    k: float | int
    steps: int = 2000
    batch_tokens: int = 2048
    learning_rate: float = 2e-2
    betas: tuple[float, float] = (0.9, 0.999)
    warmup_steps: int = 100
    decay_share: float = 0.3
    initial_k_factor: float | int = 8
    anneal_share: float = 0.15
    log_every: int = 100
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("d_sae", "steps", "batch_tokens", "log_every", "learning_rate"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} is {getattr(self, name)}, expected more than 0")
        if not 0 < self.k <= self.d_sae:
            raise ValueError(f"k is {self.k}, expected more than 0 and at most d_sae, {self.d_sae}")
        for name in ("decay_share", "anneal_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is {getattr(self, name)}, expected a share between 0 and 1")

    def k_at(self, step: int) -> float:
        """Active features per token at a step: linear from `initial_k_factor * k` to `k`, at most d_sae."""
        left = max(0.0, 1 - step / (self.steps * self.anneal_share)) if self.anneal_share else 0.0
        return float(min(self.k * (1 + (self.initial_k_factor - 1) * left), self.d_sae))

    def learning_rate_at(self, step: int) -> float:
        """Learning rate of a step, counted from 0."""
        warmup = min(1.0, (step + 1) / self.warmup_steps) if self.warmup_steps else 1.0
        decay_steps = self.steps * self.decay_share
        decay = min(1.0, (self.steps - step) / decay_steps) if decay_steps else 1.0
        return self.learning_rate * warmup * decay
