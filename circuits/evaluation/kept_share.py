"""How much of the behaviour a circuit keeps, and how sure that is.

    F(C) = (m(C) - m(none)) / (m(model) - m(none))

m is averaged over units before the ratio is taken: a single unit whose denominator is near 0 says nothing by itself.
Where the mean denominator is near 0 there is nothing to explain, and that is an error; where it is not told apart from
0 over the units, no share is said of any circuit. That rule holds wherever a share is printed.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["MIN_GAP", "bootstrap_interval", "faithfulness", "reason_to_withhold", "resampling_weights"]

MIN_GAP = 1e-3
"""|m(model) - m(none)| below which the ratio says nothing."""


def faithfulness(
    metrics: Float[Tensor, "circuits units"],
    empty: Float[Tensor, " units"],
    clean: float | Float[Tensor, " units"],
) -> Float[Tensor, " circuits"]:
    """Share of the behaviour that each circuit keeps; 1 is the model, 0 the baseline; not clipped.

    Args:
        metrics: m of the circuits.
        empty: m with every feature and error at its baseline.
        clean: m of the unedited model; a number where all units share it.

    Raises:
        ValueError: If clean and empty differ by less than 0.001, where the ratio is undefined.

    Source: Marks et al. 2024 (arXiv 2403.19647), section 3.2. Differs from it: errors never count as nodes.
    """
    of_model = torch.as_tensor(clean).mean().item()
    gap = of_model - empty.mean().item()
    if abs(gap) < MIN_GAP:
        raise ValueError(
            f"the metric is {of_model:.4f} for the model and {empty.mean().item():.4f} for its baseline: "
            "faithfulness is undefined; choose a contrast or references that change the answer"
        )
    return (metrics.mean(dim=1) - empty.mean()) / gap


def reason_to_withhold(
    empty: Float[Tensor, " units"],
    clean: Float[Tensor, " units"],
    *,
    groups: Sequence[str] | None = None,
    seed: int = 0,
) -> str | None:
    """Why no share can be said of any circuit, in a line; None where it can.

    The 95 % interval of the denominator, by resampling the units, must lie on one side of 0 and at least 0.001 from it.
    A single unit has no interval; then only a denominator below 0.001 is refused, by `faithfulness`.

    Args:
        empty: As in `faithfulness`.
        clean: m of the unedited model.
        groups: Of each unit, what it must be drawn together with.
        seed: Of the draws.
    """
    weights = resampling_weights(len(empty), groups, seed=seed)
    if weights is None:
        return None
    gaps = clean - empty
    low, high = (weights @ gaps).quantile(torch.tensor([0.025, 0.975])).tolist()
    if low * high > 0 and min(abs(low), abs(high)) >= MIN_GAP:
        return None
    mean = gaps.mean().item()
    return f"the denominator {mean:.4f} is small against its spread, [{low:.4f}, {high:.4f}] over the units"


def bootstrap_interval(
    metrics: Float[Tensor, " units"],
    empty: Float[Tensor, " units"],
    clean: float | Float[Tensor, " units"],
    *,
    groups: Sequence[str] | None = None,
    n_draws: int = 1000,
    seed: int = 0,
) -> tuple[float | None, float | None]:
    """95 % interval of one circuit's faithfulness by resampling the units; (None, None) with a single one.

    Args:
        metrics: m of the circuit.
        empty: As in `faithfulness`.
        clean: As in `faithfulness`.
        groups: Of each unit, what it must be drawn together with; None draws single units.
        n_draws: Resamples.
        seed: Of the draws.
    """
    weights = resampling_weights(len(metrics), groups, n_draws=n_draws, seed=seed)
    if weights is None:
        return None, None
    model = torch.as_tensor(clean, dtype=metrics.dtype).expand(len(metrics))
    kept, none, whole = weights @ metrics, weights @ empty, weights @ model
    low, high = ((kept - none) / (whole - none)).quantile(torch.tensor([0.025, 0.975])).tolist()
    return low, high


def resampling_weights(
    n_units: int, groups: Sequence[str] | None = None, *, n_draws: int = 1000, seed: int = 0
) -> Float[Tensor, "draws units"] | None:
    """What each unit counts in the mean over a bootstrap resample; None where there is nothing to resample.

    Args:
        n_units: How many there are.
        groups: Units of one group are drawn together: a cluster bootstrap.
        n_draws: Resamples.
        seed: Of the draws.
    """
    names = range(n_units) if groups is None else dict.fromkeys(groups)
    group_of = torch.arange(n_units) if groups is None else torch.tensor([list(names).index(name) for name in groups])
    n_groups = len(names)
    if n_groups < 2:
        return None
    drawn = torch.randint(n_groups, (n_draws, n_groups), generator=torch.Generator().manual_seed(seed))
    counts = torch.nn.functional.one_hot(drawn, n_groups).sum(dim=1)[:, group_of].float()
    return counts / counts.sum(dim=1, keepdim=True)
