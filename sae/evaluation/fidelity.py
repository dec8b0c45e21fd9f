"""How much of a site's activations a dictionary keeps, and with how many features."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Float, Float64, Int64
from torch import Tensor

from sae.dictionary.autoencoder import SAE

__all__ = ["Fidelity", "FidelityMeter", "measure_fidelity"]

L0_QUANTILES = (0.05, 0.5, 0.95)
TOKENS_PER_CHUNK = 4096


@dataclass(frozen=True, eq=False)
class Fidelity:
    """What a dictionary keeps of a set of tokens.

    Attributes:
        n_tokens: Tokens evaluated.
        explained_variance: 1 - sum |x - x_hat|^2 / sum |x - mean|^2; 1 is perfect, 0 is no better than the
            mean, negative is worse. None where the activations do not vary or there are none.
        class_explained_variance: The same for each class of positions, about that class's own mean.
        l0: Mean number of active features of a token.
        l0_quantiles: Quantile to number of active features, for 0.05, 0.5 and 0.95.
        dead_share: Share of features that are active nowhere.
        density: Share of tokens on which each feature is active.
    """

    n_tokens: int
    explained_variance: float | None
    class_explained_variance: dict[str, float | None]
    l0: float
    l0_quantiles: dict[float, int]
    dead_share: float
    density: Float64[Tensor, " d_sae"]


def measure_fidelity(
    sae: SAE,
    activations: Float[Tensor, "tokens d_model"],
    *,
    classes: Mapping[str, Bool[Tensor, " tokens"]] | None = None,
) -> Fidelity:
    """Evaluate a dictionary on activations that lie in memory.

    Args:
        sae: The dictionary.
        activations: In any floating precision, in the host's units.
        classes: Position classes by name, such as the answer positions: True where a token belongs.

    Raises:
        ValueError: There are no tokens.
    """
    classes = classes or {}
    meter = FidelityMeter(sae, list(classes))
    for start in range(0, len(activations), TOKENS_PER_CHUNK):
        chunk = slice(start, start + TOKENS_PER_CHUNK)
        meter.update(activations[chunk], {name: mask[chunk] for name, mask in classes.items()})
    return meter.result()


class FidelityMeter:
    """Accumulates a dictionary's fidelity over batches of tokens, in float64.

    Args:
        sae: The dictionary.
        class_names: Position classes that every `update` will give.
    """

    def __init__(self, sae: SAE, class_names: Sequence[str] = ()) -> None:
        self.sae = sae
        self._all = _Scatter()
        self._classes = {name: _Scatter() for name in class_names}
        self._fire_counts = torch.zeros(sae.d_sae, dtype=torch.long, device=sae.device)
        self._l0_counts = torch.zeros(sae.d_sae + 1, dtype=torch.long, device=sae.device)

    def update(
        self, x: Float[Tensor, "tokens d_model"], classes: Mapping[str, Bool[Tensor, " tokens"]] | None = None
    ) -> None:
        """Add some tokens."""
        x = x.to(self.sae.device).float()
        feature_acts = self.sae.encode_sparse(x)
        squared_errors = (x - self.sae.decode_sparse(feature_acts)).double().square().sum(-1)
        self._fire_counts += torch.bincount(feature_acts.feature_ids, minlength=self.sae.d_sae)
        self._l0_counts += torch.bincount(feature_acts.l0, minlength=self.sae.d_sae + 1)
        self._all.add(x, squared_errors)
        for name, scatter in self._classes.items():
            mask = (classes or {})[name].to(x.device)
            scatter.add(x[mask], squared_errors[mask])

    def result(self) -> Fidelity:
        """The fidelity on all tokens so far.

        Raises:
            ValueError: There were none.
        """
        n_tokens = self._all.n_tokens
        if n_tokens == 0:
            raise ValueError("no token was evaluated, expected at least one")
        return Fidelity(
            n_tokens=n_tokens,
            explained_variance=self._all.explained_variance(),
            class_explained_variance={name: part.explained_variance() for name, part in self._classes.items()},
            l0=int(self._fire_counts.sum()) / n_tokens,
            l0_quantiles={share: _quantile(self._l0_counts, share) for share in L0_QUANTILES},
            dead_share=float((self._fire_counts == 0).double().mean()),
            density=(self._fire_counts.double() / n_tokens).cpu(),
        )


@dataclass
class _Scatter:
    """Running sum of squares about the mean (Chan et al. 1983) beside the squared reconstruction error."""

    n_tokens: int = 0
    mean: Tensor = field(default_factory=lambda: torch.zeros(()))
    squares: float = 0.0
    squared_error: float = 0.0

    def add(self, x: Float[Tensor, "tokens d_model"], squared_errors: Float64[Tensor, " tokens"]) -> None:
        n_added = len(x)
        if n_added == 0:
            return
        added_mean = x.double().mean(0)
        shift = added_mean - self.mean.to(x.device)
        n_total = self.n_tokens + n_added
        self.squares += float((x.double() - added_mean).square().sum())
        self.squares += float(shift.square().sum()) * self.n_tokens * n_added / n_total
        self.squared_error += float(squared_errors.sum())
        self.mean = self.mean.to(x.device) + shift * (n_added / n_total)
        self.n_tokens = n_total

    def explained_variance(self) -> float | None:
        return 1 - self.squared_error / self.squares if self.squares > 0 else None


def _quantile(counts: Int64[Tensor, " values"], share: float) -> int:
    """The smallest value that at least `share` of the counted ones do not exceed."""
    cumulative = counts.cumsum(0).double()
    return int(torch.searchsorted(cumulative, share * float(cumulative[-1])))
