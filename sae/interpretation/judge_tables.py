"""The judge in the terminal: what it makes of questions with known answers, and whom it agrees with."""

from collections.abc import Mapping

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from sae.interpretation.calibration import CalibrationScore
from sae.interpretation.interpret import Interpretation
from sae.interpretation.second_judge import SecondJudge
from sae.interpretation.terminal_table import interval_text, number_text

__all__ = ["render_judge"]


def render_judge(found: Interpretation, judge: str, second: SecondJudge | None = None) -> Group:
    """What `sae interpret` says of its judges; nothing where none was asked anything.

    Args:
        found: What came of the first.
        judge: Its name.
        second: The second, where there is one.
    """
    parts: list[RenderableType] = []
    if found.calibration:
        parts += _calibration(judge, found.calibration)
    if second is not None:
        parts += _calibration(second.name, second.calibration) if second.calibration else []
        parts += _kappa(judge, second)
    if found.agreement:
        parts += _agreement(found)
    return Group(*parts)


def _calibration(judge: str, calibration: Mapping[str, CalibrationScore]) -> list[RenderableType]:
    heading = Text(f"\njudge {judge} on questions with known answers", style="bold")
    heading.append(
        "\nright, over both orders of the alternatives; the same with nothing to go by (shuffled); by chance; taking\n"
        "the alternative listed first rather than the last (place); saying the same in both orders (same)\n",
        style="not bold dim",
    )
    table = _table("questions", "right", "shuffled", "chance", "place", "same", "asked", "failed")
    for scorer, score in calibration.items():
        table.add_row(
            scorer,
            interval_text(score.accuracy),
            interval_text(score.shuffled),
            number_text(score.chance),
            interval_text(score.position_bias),
            number_text(score.same_in_both_orders.value),
            str(score.n_questions),
            str(score.n_failed),
        )
    return [heading, table]


def _kappa(judge: str, second: SecondJudge) -> list[RenderableType]:
    heading = Text(f"\n{judge} and {second.name} on the same questions", style="bold")
    table = _table("questions", "Cohen's kappa", "features")
    for scorer, measured in second.kappa.items():
        table.add_row(scorer, interval_text(measured), str(measured.n))
    return [heading, table]


def _agreement(found: Interpretation) -> list[RenderableType]:
    heading = Text("\nrank correlation with scores that need no judge", style="bold")
    heading.append("\nshuffled: when the judge saw explanations of other features\n", style="not bold dim")
    table = _table("judged", "without a judge", "Spearman", "shuffled", "features")
    for each in found.agreement:
        row = (interval_text(each.correlation), interval_text(each.shuffled), str(each.correlation.n))
        table.add_row(each.judged, each.free, *row)
    return [heading, table]


def _table(*headings: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    words = ("questions", "judged", "without a judge")
    for heading in headings:
        table.add_column(heading, justify="left" if heading in words else "right", no_wrap=True)
    return table
