"""One measured figure with its interval, its bar and its null."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

__all__ = ["Measurement", "bootstrap", "share"]

N_DRAWS = 1000


@dataclass(frozen=True)
class Measurement:
    """A figure of the bundle.

    A figure without a bar is reported only. A null that reaches the bar fails the measurement: a bar that a
    dictionary without content can pass says nothing.
    """

    name: str
    value: float
    n: int
    """How many cases it was measured on."""
    low: float | None = None
    """Lower end of the 95 % interval."""
    high: float | None = None
    bar: float | None = None
    at_most: bool = False
    """Whether the bar is a ceiling instead of a floor."""
    null: float | None = None
    null_name: str | None = None

    @property
    def passed(self) -> bool:
        """Whether the value is on the right side of its bar and the null is not."""
        return self.bar is None or (self._meets(self.value) and (self.null is None or not self._meets(self.null)))

    def _meets(self, value: float) -> bool:
        assert self.bar is not None
        return value <= self.bar if self.at_most else value >= self.bar


def share(name: str, hits: Float[Tensor, " cases"], **options: object) -> Measurement:
    """Mean of zeros and ones with its bootstrap interval."""
    low, high = bootstrap(hits, lambda drawn: drawn.mean(dim=-1))
    return Measurement(name, hits.mean().item(), len(hits), low, high, **options)  # type: ignore[arg-type]


def bootstrap(
    values: Shaped[Tensor, " cases"], statistic: Callable[[Tensor], Tensor], *, seed: int = 0
) -> tuple[float, float]:
    """95 % interval of a statistic over resampled cases.

    Args:
        values: One value a case.
        statistic: From `[draws cases]` to `[draws]`.
        seed: Seed of the resampling.

    Raises:
        ValueError: There is no case.
    """
    if len(values) == 0:
        raise ValueError("there is nothing to resample, expected at least one value; measure on more cases")
    generator = torch.Generator().manual_seed(seed)
    drawn = values[torch.randint(len(values), (N_DRAWS, len(values)), generator=generator)]
    low, high = statistic(drawn).quantile(torch.tensor([0.025, 0.975])).tolist()
    return low, high
