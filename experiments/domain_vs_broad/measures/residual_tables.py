"""Tables of the error that dictionaries leave."""

from experiments.domain_vs_broad.arms import TRAINED_TITLES
from experiments.domain_vs_broad.measures.measured_host import MeasuredHost
from experiments.domain_vs_broad.measures.ratios import cost, error_share, l0, linear_share
from experiments.domain_vs_broad.measures.residual import RECONSTRUCTIONS
from experiments.report.contents import Row, Table
from sae.measurement import Measurement

__all__ = ["CAUSAL", "SPLIT", "causal_table", "residual_table"]

PART = "residual"
SPLIT = ("nonlinear FVU", "linear FVU", "FVU", "linear share")
CAUSAL = ("nonlinear error only", "linear error only", "all of the error", "nonlinear share")
SUFFIXES = {"sae": "", "pca": ", PCA of equal EV", "random": ", random decoder of equal EV"}


def residual_table(measured: MeasuredHost) -> Table:
    """Of every arm the split of its error, below it those of reconstructions that learned nothing."""
    nulls = measured.trained_nulls(PART, error_share("sae", "nonlinear"), higher_is_better=False)
    rows = [
        Row(f"{arm}{SUFFIXES[name]}", _split(measured, arm, name), nulls)
        for arm in measured.matrix.profile.arms
        if measured.part(arm, PART)
        for name in RECONSTRUCTIONS
    ]
    return Table(
        f"residual_{measured.host}",
        f"The error split by what a linear map of the activation predicts, host {measured.host} adaptation",
        (*SPLIT, "L0"),
        tuple(rows),
        tuple(TRAINED_TITLES.values()),
        "FVU is the sum of |e|^2 over that of |x - mean|^2. Its linear part is what a ridge map of x takes away, its "
        "penalty and its map found on other documents; the error of principal components is linear by construction. A "
        "random decoder comes as close to the EV as random directions can. Nulls are the nonlinear FVU of null arms.",
    )


def _split(measured: MeasuredHost, arm: str, name: str) -> dict[str, Measurement | str]:
    def of(kind: str) -> Measurement:
        return measured.of(arm, PART, error_share(name, kind), higher_is_better=False)

    cells: dict[str, Measurement | str] = {
        "nonlinear FVU": of("nonlinear"),
        "linear FVU": of("linear"),
        "FVU": of("all"),
        "linear share": measured.of(arm, PART, linear_share(name)),
    }
    return cells | ({"L0": measured.of(arm, PART, l0)} if name == "sae" else {})


def causal_table(measured: MeasuredHost) -> Table:
    """What either part of the error costs the host's predictions."""
    options = {"unit": "nats", "higher_is_better": False}
    nulls = measured.trained_nulls(PART, cost("nonlinear"), **options)
    rows = []
    for arm in measured.matrix.profile.arms:
        if not measured.part(arm, PART):
            continue
        cells: dict[str, Measurement | str] = {
            "nonlinear error only": measured.of(arm, PART, cost("nonlinear"), **options),
            "linear error only": measured.of(arm, PART, cost("linear"), **options),
            "all of the error": measured.of(arm, PART, cost("all"), **options),
            "nonlinear share": measured.of(arm, PART, cost("nonlinear", over="all")),
        }
        rows.append(Row(arm, cells, nulls))
    return Table(
        f"causal_{measured.host}",
        f"Delta CE of the parts of the error, host {measured.host} adaptation",
        CAUSAL,
        tuple(rows),
        tuple(TRAINED_TITLES.values()),
        "The host is run with only one part of the error left. The parts need not add up, since the host is not "
        "linear. Nulls are the cost of the nonlinear part for null arms; that of random weights is in a host whose "
        "predictions say nothing.",
    )
