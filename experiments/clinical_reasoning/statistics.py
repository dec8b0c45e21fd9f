"""Statistics of pairs: intervals over templates, several findings at once, paired rates.

Pairs that were rendered from one template are not independent: they are drawn together.
"""

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float64
from scipy.stats import binomtest
from statsmodels.stats.multitest import multipletests
from torch import Tensor

from sae.measurement import Measurement, bootstrap

__all__ = ["Statistic", "by_template", "holm", "mcnemar", "mean", "quantile", "ratio", "sign_flip"]

Statistic = Callable[[Float64[Tensor, "pairs columns"], Float64[Tensor, "draws pairs"]], Float64[Tensor, " draws"]]
"""From values and how often each pair counts, to one number a draw; not a number where there is none."""


def mean(values: Float64[Tensor, "pairs columns"], counts: Float64[Tensor, "draws pairs"]) -> Float64[Tensor, " draws"]:
    """The mean of the first column."""
    return counts @ values[:, 0] / counts.sum(dim=1)


def ratio(
    values: Float64[Tensor, "pairs columns"], counts: Float64[Tensor, "draws pairs"]
) -> Float64[Tensor, " draws"]:
    """The sum of the first column over that of the second; infinite or not a number where that is 0."""
    return counts @ values[:, 0] / (counts @ values[:, 1])


def quantile(q: float) -> Statistic:
    """The smallest value of the first column that at least this share of the pairs does not exceed.

    Args:
        q: Between 0 and 1; 0.5 is the median.
    """

    def weighted(
        values: Float64[Tensor, "pairs columns"], counts: Float64[Tensor, "draws pairs"]
    ) -> Float64[Tensor, " draws"]:
        ordered, order = values[:, 0].sort()
        share = counts[:, order].cumsum(dim=1) / counts.sum(dim=1, keepdim=True)
        found = (share < q - 1e-12).sum(dim=1).clamp(max=len(ordered) - 1)
        return ordered[found]

    return weighted


def by_template(
    values: Sequence[float] | Sequence[Sequence[float]],
    templates: Sequence[str],
    statistic: Statistic = mean,
    *,
    unit: str = "",
    higher_is_better: bool | None = None,
    seed: int = 0,
) -> Measurement:
    """A statistic of pairs with its 95 % interval over resampled templates, all pairs of one together.

    Args:
        values: A number a pair, or several, such as numerator and denominator.
        templates: Of each pair.
        statistic: What is taken of them.
        unit: As in `Measurement`.
        higher_is_better: As in `Measurement`.
        seed: Of the draws; equal seeds pair the statistics of several columns.

    Returns:
        Its `n` counts templates. Without an interval, and a reason instead, where there is one template.

    Raises:
        ValueError: There are not as many templates as pairs.
    """
    if len(values) != len(templates):
        raise ValueError(f"there are {len(values)} values and {len(templates)} templates, expected one for each value")
    names = list(dict.fromkeys(templates))
    template_of = torch.tensor([names.index(name) for name in templates], dtype=torch.long)
    table = torch.tensor(values, dtype=torch.float64)
    table = table[:, None] if table.ndim == 1 else table
    return bootstrap(
        lambda counts: statistic(table, counts[:, template_of]),
        len(names),
        seed=seed,
        unit=unit,
        higher_is_better=higher_is_better,
    )


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values: findings below 0.05 are wrong in at most 5 % of families of this size (Holm 1979).

    Args:
        p_values: Of all findings that were looked at; between 0 and 1.
    """
    if not p_values:
        return []
    return [float(p) for p in multipletests(list(p_values), method="holm")[1]]


def mcnemar(first: Sequence[bool], second: Sequence[bool]) -> float:
    """Two-sided p-value that two paired rates are equal, by the exact binomial test on the pairs that disagree.

    Args:
        first: Whether each unit was a success under one condition.
        second: The same units under the other.

    Returns:
        1 where no pair disagrees.

    Raises:
        ValueError: They are not of one length.

    Source: McNemar 1947, in its exact form.
    """
    only_first = sum(a and not b for a, b in zip(first, second, strict=True))
    only_second = sum(b and not a for a, b in zip(first, second, strict=True))
    n = only_first + only_second
    return float(binomtest(only_first, n).pvalue) if n else 1.0


def sign_flip(values: Sequence[float], templates: Sequence[str], *, n_draws: int = 10_000, seed: int = 0) -> float:
    """Two-sided p-value that the mean of the pairs is 0, by turning the signs of whole templates at random.

    Args:
        values: A number a pair, symmetric about 0 where there is no effect.
        templates: Of each pair; one sign is drawn for all pairs of a template.
        n_draws: Of signs; the smallest p-value is 1 / (n_draws + 1).
        seed: Of the draws.

    Returns:
        1 where every value is 0.

    Source: Fisher's randomisation test with clusters as units; the observed signs count as a draw.
    """
    names = list(dict.fromkeys(templates))
    sums = torch.zeros(len(names), dtype=torch.float64)
    sums.index_add_(0, torch.tensor([names.index(name) for name in templates]), torch.tensor(values).double())
    signs = torch.randint(2, (n_draws, len(names)), generator=torch.Generator().manual_seed(seed)).double() * 2 - 1
    at_least = (signs @ sums).abs() >= sums.sum().abs() - 1e-12
    return (int(at_least.sum()) + 1) / (n_draws + 1)
