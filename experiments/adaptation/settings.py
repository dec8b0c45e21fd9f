"""How a host is adapted to a domain."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

__all__ = ["AdaptationSettings", "Precision"]

Precision = Literal["float32", "bfloat16"]


@dataclass(frozen=True)
class AdaptationSettings:
    """Continued pre-training: AdamW, linear warm-up, then half a cosine down to a tenth.

    Attributes:
        n_tokens: Tokens to train on, repetitions of a small corpus included.
        context_length: Tokens of a row; documents are laid end to end, a BOS before each.
        batch_size: Rows of one pass, on each process.
        accumulation: Passes whose gradients one update adds up.
        learning_rate: Its peak.
        warmup_share: Share of the updates until the peak.
        weight_decay: Of matrices; norms and biases are not decayed.
        max_norm: Gradients are clipped to this norm.
        lora_rank: Train low-rank updates of every linear layer (Hu et al. 2106.09685) and merge them at the end; None
            trains all weights.
        lora_alpha: Their scale is this over the rank.
        precision: What passes compute in; the weights that are trained stay in float32.
        seed: Of the order of rows and of the low-rank updates.
    """

    n_tokens: int
    context_length: int = 512
    batch_size: int = 8
    accumulation: int = 1
    learning_rate: float = 3e-4
    warmup_share: float = 0.03
    weight_decay: float = 0.1
    max_norm: float = 1.0
    lora_rank: int | None = None
    lora_alpha: int = 32
    precision: Precision = "float32"
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("n_tokens", "batch_size", "accumulation"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}, expected at least 1")
        if self.context_length < 2:
            raise ValueError(f"context_length is {self.context_length}, expected at least 2: a token and its next")
        for name in ("learning_rate", "max_norm", "lora_alpha"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} is {getattr(self, name)}, expected a number above 0")
        if not 0 <= self.warmup_share < 1:
            raise ValueError(f"warmup_share is {self.warmup_share}, expected a share from 0 to below 1")
        if self.lora_rank is not None and self.lora_rank < 1:
            raise ValueError(f"lora_rank is {self.lora_rank}, expected at least 1, or none to train all weights")

    def n_steps(self, n_processes: int) -> int:
        """Updates until at least `n_tokens` tokens were trained on."""
        per_step = self.context_length * self.batch_size * self.accumulation * n_processes
        return -(-self.n_tokens // per_step)

    def to_json(self) -> dict[str, Any]:
        """The fields by name."""
        return asdict(self)
