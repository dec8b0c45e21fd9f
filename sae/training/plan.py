"""What a user asks for: one dictionary for each site, width and L0, and the settings that follow from it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from sae.dictionary.autoencoder import SAE
from sae.host.sites import Site
from sae.kernels.dispatch import Kernel
from sae.kernels.weights import check_has_thresholds
from sae.training.config import (
    BatchTopKConfig,
    Clipping,
    JumpReLUConfig,
    LossUnit,
    MatryoshkaConfig,
    Objective,
    TrainingConfig,
)
from sae.training.finetuning import SplicedConfig
from sae.training.sae_trainer import TrainingGoal

__all__ = ["Architecture", "TrainingPlan"]

Architecture = Literal["jumprelu", "batchtopk", "matryoshka"]

BATCH_TOKENS = 2048
LOG_ENTRIES = 50
WARMUP_SHARE = 0.05
MAX_WARMUP_STEPS = 1000
DEAD_SHARE_OF_RUN = 0.05
DEAD_AFTER_TOKENS = 10_000_000
TUNED_D_MODEL = 128
FINETUNING_RATE = 0.1


@dataclass(frozen=True)
class TrainingPlan:
    """One dictionary for each combination of site, width and L0.

    Attributes:
        sites: Where.
        d_sae: Widths.
        l0: Wanted mean numbers of active features of a token.
        n_tokens: Tokens that each dictionary is trained on, with repetition where there are fewer.
        architecture: How the dictionary is trained; all are written as JumpReLU.
        objective: The sparsity penalty of a JumpReLU dictionary.
        prefixes: Of a Matryoshka dictionary, as in `MatryoshkaConfig`; None takes its own.
        kernel: How gradients are computed.
        batch_tokens: Tokens of a step.
        learning_rate: Peak rate; None scales what suits a d_model of 128 by 1/sqrt(d_model), the length of a
            unit row's elements.
        loss_unit: As in `TrainingConfig`.
        clipping: As there.
        thresholds: Settings of `JumpReLUConfig` for thresholds that are not to be its own: `bandwidth`,
            `initial_threshold`, `threshold_learning_rate`, `gradient_through_window`, `pre_act_coefficient`.
        kl_weight: Weight of the KL of the host's predictions, for training in the host; None trains on activations.
        start: Dictionaries to begin with, by site; their width must be the wanted one.
        seed: Of weights and draws.
    """

    sites: tuple[Site, ...]
    d_sae: tuple[int, ...]
    l0: tuple[float, ...]
    n_tokens: int
    architecture: Architecture = "jumprelu"
    objective: Objective = "step"
    prefixes: tuple[float | int, ...] | None = None
    kernel: Kernel = "auto"
    batch_tokens: int = BATCH_TOKENS
    learning_rate: float | None = None
    loss_unit: LossUnit = "unexplained"
    clipping: Clipping = "none"
    thresholds: Mapping[str, float | bool] = field(default_factory=dict)
    kl_weight: float | None = None
    start: Mapping[Site, SAE] | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if not (self.sites and self.d_sae and self.l0):
            raise ValueError(f"sites {self.sites}, d_sae {self.d_sae}, l0 {self.l0}: expected at least one of each")
        if self.n_tokens < 1 or self.batch_tokens < 1:
            raise ValueError(
                f"tokens is {self.n_tokens} in batches of {self.batch_tokens}, expected at least 1 of both"
            )
        if self.architecture not in get_args(Architecture):
            expected = ", ".join(get_args(Architecture))
            raise ValueError(f"architecture is {self.architecture!r}, expected one of {expected}")
        self._check_architecture()
        for sae in (self.start or {}).values():
            check_has_thresholds(sae)
        for site in self.sites:
            if self.start is not None and site not in self.start:
                raise ValueError(f"there is no SAE to begin with at {site}, only at {', '.join(map(str, self.start))}")
        # impossible combinations are refused before anything is read or run
        for d_sae in self.d_sae:
            for l0 in self.l0:
                self.config(d_sae, l0, d_model=TUNED_D_MODEL)

    def _check_architecture(self) -> None:
        """Settings that only another architecture has."""
        if self.prefixes is not None and self.architecture != "matryoshka":
            raise ValueError(f"prefixes {self.prefixes} need architecture matryoshka, not {self.architecture}")
        if self.architecture == "jumprelu":
            return
        if self.start is not None or self.kl_weight is not None:
            raise ValueError(f"an SAE to begin with and the KL need architecture jumprelu, not {self.architecture}")
        if self.objective != "step":
            raise ValueError(f"objective {self.objective} needs architecture jumprelu, not {self.architecture}")
        if self.thresholds:
            raise ValueError(f"{', '.join(self.thresholds)}: {self.architecture} trains no thresholds; choose jumprelu")

    def goals(self, *, d_model: int, metadata: Mapping[str, Any]) -> list[TrainingGoal]:
        """The dictionaries to train, for activations of width `d_model`; all get the same metadata."""
        return [
            TrainingGoal(
                self._name(site, d_sae, l0),
                site,
                self.config(d_sae, l0, d_model=d_model),
                start=None if self.start is None else self.start[site],
                metadata=metadata,
            )
            for site in self.sites
            for d_sae in self.d_sae
            for l0 in self.l0
        ]

    def config(self, d_sae: int, l0: float, *, d_model: int) -> TrainingConfig:
        """How one dictionary is trained.

        Raises:
            ValueError: A number is out of range.
        """
        batch_tokens = min(self.batch_tokens, self.n_tokens)
        steps = max(1, self.n_tokens // batch_tokens)
        rate = self.learning_rate or TrainingConfig.learning_rate * (TUNED_D_MODEL / d_model) ** 0.5
        settings: dict[str, Any] = {
            "d_sae": d_sae,
            "steps": steps,
            "batch_tokens": batch_tokens,
            "learning_rate": rate * (FINETUNING_RATE if self.start and not self.learning_rate else 1),
            "warmup_steps": min(MAX_WARMUP_STEPS, max(1, round(WARMUP_SHARE * steps))),
            "dead_after_tokens": min(DEAD_AFTER_TOKENS, max(batch_tokens, round(DEAD_SHARE_OF_RUN * self.n_tokens))),
            "log_every": max(1, steps // LOG_ENTRIES),
            "loss_unit": self.loss_unit,
            "clipping": self.clipping,
            "kernel": self.kernel,
            "seed": self.seed,
        }
        if self.architecture == "batchtopk":
            return BatchTopKConfig(k=l0, **settings)
        if self.architecture == "matryoshka":
            settings |= {} if self.prefixes is None else {"prefixes": self.prefixes}
            return MatryoshkaConfig(k=l0, **settings)
        settings |= self.thresholds
        if self.kl_weight is not None:
            return SplicedConfig(l0=l0, objective=self.objective, kl_weight=self.kl_weight, **settings)
        return JumpReLUConfig(l0=l0, objective=self.objective, **settings)

    def _name(self, site: Site, d_sae: int, l0: float) -> str:
        """Of a dictionary's directory: as short as tells it from the others."""
        width = f"-d-{d_sae}" if len(self.d_sae) > 1 else ""
        sparsity = f"-l0-{l0:g}" if len(self.l0) > 1 else ""
        return f"{site}{width}{sparsity}"
