"""The numbers of an evaluation, as functions of sums over documents; each with its interval, alone or as a difference.

Explained variance has several definitions in use, which differ by as much as dictionaries do. The pooled one about the
mean is the headline; the others go by their own names, so that other people's numbers can be matched.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float64
from torch import Tensor

from sae.evaluation.document_statistics import N_BLOCKS, DictionaryStatistics, EvaluationTable, TextStatistics
from sae.measurement import Measurement, bootstrap

__all__ = ["METRICS", "Metric", "Sums", "measure", "measure_difference", "statistic"]

SMALLEST_SPREAD = 1e-9
"""Share of the squares below which what is left about the mean is rounding: one vector over and over."""


class Sums:
    """Columns summed with weights: one row of counts a draw.

    Args:
        columns: Of units, by name.
        counts: How often each unit counts.
    """

    def __init__(self, columns: Mapping[str, Tensor], counts: Float64[Tensor, "draws units"]) -> None:
        self._columns, self._counts = columns, counts

    def __getitem__(self, name: str) -> Float64[Tensor, "draws *d_model"]:
        column = self._columns[name]
        return (self._counts @ column.flatten(1) if column.ndim > 1 else self._counts @ column).view(
            len(self._counts), *column.shape[1:]
        )


@dataclass(frozen=True)
class Arm:
    """What a metric is computed from: the text, a dictionary, and the two ablations."""

    text: Sums
    dictionary: Sums
    zero: Sums
    mean: Sums


@dataclass(frozen=True)
class Metric:
    """One number of a dictionary.

    Attributes:
        name: As in reports.
        function: Not finite where a draw has no value.
        meaning: In a few words.
        unit: As in `Measurement`.
        higher_is_better: As there.
        of_blocks: Whether its units are blocks of documents instead of documents.
        of_classes: Whether it is known for each position class.
    """

    name: str
    function: Callable[[Arm], Float64[Tensor, " draws"]]
    meaning: str
    unit: str = ""
    higher_is_better: bool | None = None
    of_blocks: bool = False

    @property
    def of_classes(self) -> bool:
        """Blocks are of all classes together."""
        return not self.of_blocks


def measure(
    metric: Metric, table: EvaluationTable, name: str, *, position_class: str | None = None, seed: int = 0
) -> Measurement:
    """A metric of one dictionary with its interval over resampled documents.

    Args:
        metric: One of `METRICS`.
        table: The sums.
        name: Which dictionary.
        position_class: Of this class only, about its own mean; of all tokens by default.
        seed: Of the resampling; equal seeds draw equal documents.

    Raises:
        ValueError: There is no such dictionary or class, or the metric is not known for classes.
    """
    return bootstrap(
        statistic(metric, table, name, position_class=position_class),
        _n_units(metric, table),
        seed=seed,
        unit=metric.unit,
        higher_is_better=metric.higher_is_better,
    )


def measure_difference(
    metric: Metric,
    first: tuple[EvaluationTable, str],
    second: tuple[EvaluationTable, str],
    *,
    position_class: str | None = None,
    seed: int = 0,
) -> Measurement:
    """The second dictionary's metric less the first's, in pairs: both are computed on the same resampled documents.

    Args:
        metric: One of `METRICS`.
        first: A table and the name of a dictionary in it.
        second: The same of the other; of the same documents.
        position_class: As in `measure`.
        seed: As there.

    Raises:
        ValueError: As in `measure`, or the documents differ.
    """
    if first[0].digest != second[0].digest:
        raise ValueError(
            f"{first[1]!r} and {second[1]!r} were evaluated on different documents, expected the same ones for a "
            "comparison in pairs; evaluate both on one corpus with one seed and as many tokens"
        )
    of_first, of_second = (statistic(metric, *arm, position_class=position_class) for arm in (first, second))
    return bootstrap(
        lambda counts: of_second(counts) - of_first(counts),
        _n_units(metric, first[0]),
        seed=seed,
        unit=metric.unit,
        higher_is_better=metric.higher_is_better,
    )


def statistic(
    metric: Metric, table: EvaluationTable, name: str, *, position_class: str | None = None
) -> Callable[[Float64[Tensor, "draws units"]], Float64[Tensor, " draws"]]:
    """The metric as a function of how often each unit counts; for comparisons of more than two dictionaries.

    Arguments and errors are those of `measure`.
    """
    arm = _arm_of(metric, table, name, position_class)
    return lambda counts: metric.function(arm(counts))


def _n_units(metric: Metric, table: EvaluationTable) -> int:
    return min(N_BLOCKS, table.text.n_documents) if metric.of_blocks else table.text.n_documents


def _arm_of(
    metric: Metric, table: EvaluationTable, name: str, position_class: str | None
) -> Callable[[Float64[Tensor, "draws units"]], Arm]:
    """From counts of units to the sums that the metric reads."""
    if position_class is not None and not metric.of_classes:
        raise ValueError(f"{metric.name} is not known for position classes, expected none")
    if name not in table.dictionaries:
        raise ValueError(f"dictionary {name!r} is not in the table, expected one of {', '.join(table.dictionaries)}")
    n_units = _n_units(metric, table)
    names = (name, "zero", "mean")
    parts: list[TextStatistics | DictionaryStatistics] = [table.text, *(table.dictionaries[found] for found in names)]
    columns = [{key: tensor[:n_units] for key, tensor in table.columns(part, position_class).items()} for part in parts]
    return lambda counts: Arm(*(Sums(column, counts) for column in columns))


def _scatter(text: Sums) -> Float64[Tensor, " draws"]:
    """Sum of |x - mean|^2 about the mean of the draw; 0 where it is only rounding."""
    deviation = text["x_deviation"]
    scatter = deviation - text["x_sum"].square().sum(1) / text["n_tokens"]
    return torch.where(scatter > SMALLEST_SPREAD * deviation, scatter, 0.0)


def _explained_variance(arm: Arm) -> Tensor:
    return 1 - _normalised_mse(arm)


def _normalised_mse(arm: Arm) -> Tensor:
    return arm.dictionary["squared_error"] / _scatter(arm.text)


def _of_tokens(arm: Arm) -> Tensor:
    return 1 - arm.dictionary["error_share"] / arm.text["n_tokens"]


def _of_dimensions(arm: Arm) -> Tensor:
    scatter = arm.text["block_x_deviation"] - arm.text["block_x_sum"].square() / arm.text["block_tokens"][:, None]
    shares = 1 - arm.dictionary["block_squared_error"] / scatter
    varies = scatter > SMALLEST_SPREAD * scatter.amax()
    return torch.where(varies, shares, 0.0).sum(1) / varies.sum(1)


def _without_bias(arm: Arm) -> Tensor:
    n_tokens = arm.text["block_tokens"]
    scatter = arm.text["block_x_deviation"].sum(1) - arm.text["block_x_sum"].square().sum(1) / n_tokens
    of_error = arm.dictionary["block_squared_error"].sum(1) - arm.dictionary["block_error"].square().sum(1) / n_tokens
    return 1 - of_error / scatter


def _uncentred(arm: Arm) -> Tensor:
    return 1 - arm.dictionary["squared_error"] / arm.text["x_square"]


def _delta_ce(arm: Arm) -> Tensor:
    return (arm.dictionary["cross_entropy"] - arm.text["cross_entropy"]) / arm.text["n_predictions"]


def _recovered(arm: Arm, ablation: Sums) -> Tensor:
    cost = ablation["cross_entropy"] - arm.text["cross_entropy"]
    return (ablation["cross_entropy"] - arm.dictionary["cross_entropy"]) / cost


def _l0_quantile(share: float) -> Callable[[Arm], Tensor]:
    """The smallest L0 that at least this share of tokens does not exceed."""

    def quantile(arm: Arm) -> Tensor:
        cumulative = arm.dictionary["block_l0"].cumsum(1)
        return (cumulative < share * cumulative[:, -1:]).sum(1).double()

    return quantile


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("explained_variance", _explained_variance, "1 - sum |e|² / sum |x - mean|²", higher_is_better=True),
        Metric("explained_variance_of_tokens", _of_tokens, "mean of each token's ratio", higher_is_better=True),
        Metric(
            "explained_variance_of_dimensions",
            _of_dimensions,
            "mean of each dimension's",
            higher_is_better=True,
            of_blocks=True,
        ),
        Metric(
            "explained_variance_without_bias",
            _without_bias,
            "1 - var(e) / var(x)",
            higher_is_better=True,
            of_blocks=True,
        ),
        Metric("explained_variance_uncentred", _uncentred, "1 - sum |e|² / sum |x|²", higher_is_better=True),
        Metric("normalised_mse", _normalised_mse, "sum |e|² / sum |x - mean|²", higher_is_better=False),
        Metric(
            "cosine",
            lambda arm: arm.dictionary["cosine"] / arm.text["n_tokens"],
            "mean cosine of x and x_hat",
            higher_is_better=True,
        ),
        Metric(
            "relative_bias",
            lambda arm: arm.dictionary["x_hat_square"] / arm.dictionary["product"],
            "sum |x_hat|² / sum <x, x_hat>; 1 is unbiased, below is shrunk",
        ),
        Metric("l2_ratio", lambda arm: arm.dictionary["x_hat_norm"] / arm.text["x_norm"], "mean |x_hat| / mean |x|"),
        Metric("delta_ce", _delta_ce, "cross-entropy that splicing costs", "nats", False),
        Metric(
            "kl",
            lambda arm: arm.dictionary["divergence"] / arm.text["n_predictions"],
            "KL(plain || spliced)",
            "nats",
            False,
        ),
        Metric(
            "recovered_from_zero", lambda arm: _recovered(arm, arm.zero), "1 - delta CE / zero's", higher_is_better=True
        ),
        Metric(
            "recovered_from_mean", lambda arm: _recovered(arm, arm.mean), "1 - delta CE / mean's", higher_is_better=True
        ),
        Metric(
            "accuracy_plain",
            lambda arm: arm.text["n_right"] / arm.text["n_predictions"],
            "next tokens that the plain host has right",
            higher_is_better=True,
        ),
        Metric(
            "accuracy",
            lambda arm: arm.dictionary["n_right"] / arm.text["n_predictions"],
            "next tokens that the spliced host has right",
            higher_is_better=True,
        ),
        Metric(
            "accuracy_change",
            lambda arm: (arm.dictionary["n_right"] - arm.text["n_right"]) / arm.text["n_predictions"],
            "spliced less plain",
            higher_is_better=True,
        ),
        Metric("l0", lambda arm: arm.dictionary["n_active"] / arm.text["n_tokens"], "active features of a token"),
        *(
            Metric(
                f"l0_quantile_{percent:02d}",
                _l0_quantile(percent / 100),
                f"{percent} % of tokens have at most",
                of_blocks=True,
            )
            for percent in (5, 50, 95)
        ),
    )
}
