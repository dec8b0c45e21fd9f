"""All measures of features in one table: what each arm has less the broad arm, beside another seed of that one."""

from dataclasses import dataclass

from experiments.domain_vs_broad.arms import BROAD, DOMAIN
from experiments.domain_vs_broad.measures.measured_host import MeasuredHost, RatioOf
from experiments.domain_vs_broad.measures.ratios import absorption, cost, error_share, localised, probed, rules
from experiments.report.contents import Row, Table

__all__ = ["difference_table"]

SEEDS = "second seed"


@dataclass(frozen=True)
class _Measure:
    """One row: what is pooled, of which part of a record, and which way is better."""

    title: str
    part: str
    ratio: RatioOf
    higher_is_better: bool
    unit: str = ""


MEASURES = (
    _Measure("nonlinear FVU", "residual", error_share("sae", "nonlinear"), False),
    _Measure("linear FVU", "residual", error_share("sae", "linear"), False),
    _Measure("delta CE of the nonlinear error", "residual", cost("nonlinear"), False, "nats"),
    _Measure("delta CE of the linear error", "residual", cost("linear"), False, "nats"),
    _Measure("lexical F1", "interpretability", rules("lexical", "f1"), True),
    _Measure("lexical balanced accuracy", "interpretability", rules("lexical", "balanced_accuracy"), True),
    _Measure("ontology F1", "interpretability", rules("ontology", "f1"), True),
    _Measure("ontology balanced accuracy", "interpretability", rules("ontology", "balanced_accuracy"), True),
    _Measure("localisation F1", "localisation", localised("f1"), True),
    _Measure("pointing", "localisation", localised("pointing"), True),
    _Measure("probing, k=1", "probing", probed("k=1"), True),
    _Measure("probing, k=20", "probing", probed("k=20"), True),
    _Measure("absorbed", "absorption", absorption("absorbed"), False),
)


def difference_table(measured: MeasuredHost) -> Table | None:
    """A row a measure that the broad arm has; None where it has none."""
    arms = [DOMAIN, *(arm for arm in measured.matrix.profile.arms if arm not in (DOMAIN, BROAD))]
    rows = [
        _row(measured, each, [arm for arm in arms if measured.part(arm, each.part)])
        for each in MEASURES
        if measured.part(BROAD, each.part)
    ]
    if not rows:
        return None
    return Table(
        f"features_{measured.host}",
        f"Measures of features less the broad arm, host {measured.host} adaptation",
        tuple(arms),
        tuple(rows),
        (SEEDS,),
        "FVU, delta CE and absorption are better when lower. All dictionaries have one wanted L0 but not one measured "
        "L0 on this text, see the table of the error. Differences are paired but for those of F1 of explanations, "
        "since features are each dictionary's own. The null is the difference between two seeds of the broad arm.",
    )


def _row(measured: MeasuredHost, each: _Measure, arms: list[str]) -> Row:
    options = {"unit": each.unit, "higher_is_better": each.higher_is_better}
    cells = {arm: measured.less_arm(arm, BROAD, each.part, each.ratio, **options) for arm in arms}
    return Row(each.title, cells, {SEEDS: measured.between_seeds(each.part, each.ratio, **options)})
