"""How to train a dictionary: sizes, schedules, and what each architecture needs besides."""

from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Literal, get_args

from sae.kernels.dispatch import Kernel
from sae.kernels.nested import NESTED_KERNELS

__all__ = [
    "BatchTopKConfig",
    "Clipping",
    "JumpReLUConfig",
    "LossUnit",
    "MatryoshkaConfig",
    "Objective",
    "TrainingConfig",
]

Objective = Literal["step", "quadratic", "tanh", "description_length"]
LossUnit = Literal["unexplained", "variance"]
Clipping = Literal["none", "row", "global"]


@dataclass(frozen=True, kw_only=True)
class TrainingConfig(ABC):
    """What every dictionary's training has. Rates and thresholds are for activations of unit variance an element.

    Attributes:
        d_sae: Number of features.
        steps: Optimiser steps.
        batch_tokens: Tokens of a step.
        learning_rate: Peak rate of Adam.
        betas: Decay rates of Adam's moments.
        warmup_steps: Steps over which the learning rate rises linearly.
        decay_share: Share of the steps, the last ones, over which it falls linearly.
        anneal_share: Share of the steps, the first ones, over which L0 falls to what is wanted.
        loss_unit: What the loss is counted in: the activations' variance, or what of it is left unexplained at present,
            see `UnexplainedShare`. The balance within the loss is the same; gradients stay of one size in training,
            but for those of the thresholds.
        clipping: What is clipped to `clip_norm`: nothing, each feature's gradient rows, or all gradients together.
            Thresholds are never clipped. Only without clipping are the optimiser and the gradients one kernel on a GPU.
        clip_norm: Largest norm of what is clipped.
        dead_after_tokens: A feature that fired on none of this many tokens counts as dead.
        log_every: Steps between two entries of the metrics.
        kernel: How gradients are computed; see `sae.kernels.dispatch`.
        seed: Of the initial weights.
    """

    architecture: ClassVar[str]

    d_sae: int
    steps: int = 2000
    batch_tokens: int = 2048
    learning_rate: float = 1e-2
    betas: tuple[float, float] = (0.9, 0.999)
    warmup_steps: int = 100
    decay_share: float = 0.3
    anneal_share: float = 0.15
    loss_unit: LossUnit = "unexplained"
    clipping: Clipping = "none"
    clip_norm: float = 1.0
    dead_after_tokens: int = 200_000
    log_every: int = 100
    kernel: Kernel = "auto"
    seed: int = 0

    def __post_init__(self) -> None:
        _check_positive(
            self,
            (
                "d_sae",
                "steps",
                "batch_tokens",
                "dead_after_tokens",
                "log_every",
                "learning_rate",
                "clip_norm",
            ),
        )
        if not 0 < self.wanted_l0 <= self.d_sae:
            raise ValueError(f"l0 is {self.wanted_l0}, expected more than 0 and at most d_sae, {self.d_sae}")
        for name in ("decay_share", "anneal_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is {getattr(self, name)}, expected a share between 0 and 1")
        _check_choice("loss_unit", self.loss_unit, get_args(LossUnit))
        _check_choice("clipping", self.clipping, get_args(Clipping))
        _check_choice("kernel", self.kernel, get_args(Kernel))

    @property
    @abstractmethod
    def wanted_l0(self) -> float:
        """Mean number of active features of a token that training is to end with."""

    def learning_rate_factor(self, step: int) -> float:
        """Share of the peak rate at a step, counted from 0."""
        decay_steps = self.steps * self.decay_share
        decay = min(1.0, (self.steps - step) / decay_steps) if decay_steps else 1.0
        return self.warmup_factor(step) * decay

    def warmup_factor(self, step: int) -> float:
        """The same without the decay; thresholds must be able to follow the weights to the end."""
        return min(1.0, (step + 1) / self.warmup_steps) if self.warmup_steps else 1.0

    def anneal_left(self, step: int) -> float:
        """Share of the way to the wanted L0 that still lies ahead at a step: from 1 to 0, linearly."""
        return max(0.0, 1 - step / (self.steps * self.anneal_share)) if self.anneal_share else 0.0

    def to_json(self) -> dict[str, Any]:
        """The settings as JSON holds them."""
        return {"architecture": self.architecture, **asdict(self), "betas": list(self.betas)}


@dataclass(frozen=True, kw_only=True)
class BatchTopKConfig(TrainingConfig):
    """A BatchTopK dictionary (Bussmann et al. 2024), handed over as JumpReLU.

    Attributes:
        k: Mean number of active features of a token; need not be whole.
        initial_k_factor: Training begins with this many times `k` active features, so that none starts dead.
    """

    architecture: ClassVar[str] = "batchtopk"

    k: float | int
    initial_k_factor: float | int = 8

    @property
    def wanted_l0(self) -> float:
        """`k`."""
        return float(self.k)

    def k_at(self, step: int) -> float:
        """Active features per token at a step: linear from `initial_k_factor * k` to `k`, at most d_sae."""
        return float(min(self.k * (1 + (self.initial_k_factor - 1) * self.anneal_left(step)), self.d_sae))


@dataclass(frozen=True, kw_only=True)
class MatryoshkaConfig(BatchTopKConfig):
    """A Matryoshka BatchTopK dictionary (Bussmann et al. 2025), handed over as JumpReLU.

    Attributes:
        prefixes: Nested prefixes of the dictionary, each of which is to reconstruct by itself, as shares of d_sae:
            increasing, the last is 1. A single prefix is plain BatchTopK.
    """

    architecture: ClassVar[str] = "matryoshka"

    prefixes: tuple[float | int, ...] = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1)

    def __post_init__(self) -> None:
        super().__post_init__()
        in_order = all(0 < share <= 1 for share in self.prefixes) and list(self.prefixes) == sorted(self.prefixes)
        if not in_order or self.prefixes[-1:] != (1,):
            raise ValueError(f"prefixes are {self._shown_prefixes}, expected increasing shares of d_sae that end at 1")
        sizes = self.prefix_sizes
        if sizes[0] < 1 or len(set(sizes)) < len(sizes):
            raise ValueError(
                f"prefixes {self._shown_prefixes} have {', '.join(map(str, sizes))} of {self.d_sae} features, expected "
                "at least 1 and no two alike; give others or a larger d_sae"
            )
        if self.kernel not in NESTED_KERNELS:
            expected = ", ".join(NESTED_KERNELS)
            raise ValueError(f"kernel is {self.kernel!r}, but matryoshka needs one of {expected}")

    @property
    def prefix_sizes(self) -> tuple[int, ...]:
        """Features of each prefix."""
        return tuple(round(share * self.d_sae) for share in self.prefixes)

    @property
    def _shown_prefixes(self) -> str:
        return ",".join(f"{share:g}" for share in self.prefixes)

    def to_json(self) -> dict[str, Any]:
        """The settings as JSON holds them, with the features of each prefix."""
        return super().to_json() | {"prefixes": list(self.prefixes), "prefix_sizes": list(self.prefix_sizes)}


@dataclass(frozen=True, kw_only=True)
class JumpReLUConfig(TrainingConfig):
    """A JumpReLU dictionary with trained thresholds.

    Attributes:
        l0: Wanted mean number of active features of a token.
        objective: The sparsity penalty, see `sae.kernels.loss.LossSettings`; `description_length` is the step penalty
            with features that cost the bits of saying that they are active, see `SelfInformation`.
        bandwidth: Width of the window around a threshold through which it learns, in units of the activation
            scale: the root mean square of an element of the activations about their mean.
        initial_threshold: In the same units. At the start a feature's pre-activations have about unit variance, so
            that 1.5 lets 7 % of the features fire.
        threshold_learning_rate: Thresholds have a rate of their own: under Adam about how far they move in a step.
        gradient_through_window: Whether the jump at the threshold passes gradient to encoder and bias too.
        tanh_scale: c of the tanh objective.
        value_bits: Bits of an active feature's value, beside those of its being active; for `description_length`.
        pre_act_coefficient: Of the loss that pulls dead features towards firing; 0 leaves them alone. Much less than
            the gradients that live features have does nothing: Adam's second moments remember those.
        initial_coefficient: Where the sparsity coefficient begins, as a share of the activations' variance.
        proportional_gain: Of the L0 controller on the thresholds, see `L0Controller`.
        integral_gain: Of the L0 controller on the coefficient.
    """

    architecture: ClassVar[str] = "jumprelu"

    l0: float | int
    objective: Objective = "step"
    bandwidth: float = 0.3
    initial_threshold: float = 1.5
    threshold_learning_rate: float = 1e-3
    gradient_through_window: bool = False
    tanh_scale: float = 4.0
    value_bits: float = 7.0
    pre_act_coefficient: float = 0.03
    initial_coefficient: float = 1e-3
    proportional_gain: float = 0.03
    integral_gain: float = 0.2

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_positive(self, ("bandwidth", "threshold_learning_rate", "tanh_scale", "initial_coefficient"))
        _check_positive(self, ("proportional_gain", "integral_gain"))
        for name in ("initial_threshold", "pre_act_coefficient", "value_bits"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} is {getattr(self, name)}, expected 0 or more")
        _check_choice("objective", self.objective, get_args(Objective))

    @property
    def wanted_l0(self) -> float:
        """`l0`."""
        return float(self.l0)

    def l0_at(self, step: int, *, initial: float) -> float:
        """L0 that the controller aims at: geometric from what the first batch had to `l0`."""
        return float(self.l0 * (max(initial, self.l0) / self.l0) ** self.anneal_left(step))


def _check_positive(config: TrainingConfig, names: tuple[str, ...]) -> None:
    for name in names:
        # written so that NaN is refused too
        if not getattr(config, name) > 0:
            raise ValueError(f"{name} is {getattr(config, name)}, expected more than 0")


def _check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f"{name} is {value!r}, expected one of {', '.join(choices)}")
