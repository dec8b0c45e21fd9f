"""The settings with which the clinical host is made."""

from dataclasses import dataclass

__all__ = ["HostTrainingConfig"]


@dataclass(frozen=True)
class HostTrainingConfig:
    """Shape of the host, its diet, and how it learns."""

    n_layers: int = 4
    d_model: int = 128
    n_heads: int = 4
    n_kv_heads: int = 2
    d_mlp: int = 352
    initial_std: float = 0.02
    vocab_size: int = 3328
    """Upper bound; large enough for every clinical word, so that only everyday words fall apart."""

    tokenizer_clinical_documents: int = 40_000
    tokenizer_broad_documents: int = 500
    """Few, so that clinical words come first."""
    clinical_documents: int = 160_000
    broad_documents: int = 40_000
    broad_share: float = 0.12
    """Share of everyday documents in the clinical stage."""
    workers: int = 2
    """Processes that make the data."""

    steps_broad: int = 300
    steps_clinical: int = 2200
    batch_size: int = 128
    """Documents per step."""
    learning_rate: float = 4e-3
    betas: tuple[float, float] = (0.9, 0.98)
    weight_decay: float = 0.3
    """On matrices only."""
    gradient_clip: float = 1.0
    warmup_steps: int = 100
    flat_share: float = 0.6
    """Share of the steps after which the learning rate falls, linearly, to `final_share` of its height."""
    final_share: float = 0.02
    answer_weight: float = 4.0
    """Weight in the loss of the tokens that answer a question; all others count 1."""

    report_every: int = 100
    """After so many steps the run is logged, judged and saved."""
    test_documents: int = 500
    """Validation documents, at most 1000, on which the run is judged."""

    def __post_init__(self) -> None:
        if self.d_model % self.n_heads or self.n_heads % self.n_kv_heads:
            raise ValueError(
                f"d_model={self.d_model} must be a multiple of n_heads={self.n_heads}, "
                f"and that of n_kv_heads={self.n_kv_heads}"
            )
        if not 0 <= self.broad_share < 1:
            raise ValueError(f"broad_share must be from 0 to below 1, got {self.broad_share}")
