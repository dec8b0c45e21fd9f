"""What raters said, as tables for the terminal."""

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from sae.human.importing import HumanEvaluation
from sae.measurement import Measurement
from sae.token_text import readable_token

__all__ = ["render_human_evaluation"]


def render_human_evaluation(found: HumanEvaluation) -> RenderableType:
    """Agreement, arms, differences, raters."""
    parts: list[RenderableType] = [Text(f"{found.n_raters} raters", style="bold")]
    if found.note:
        parts.append(Text(f"Note: {found.note}."))
    return Group(*parts, _agreement(found), _arms(found), _differences(found), _raters(found))


def _agreement(found: HumanEvaluation) -> Table:
    view = _table("Agreement of raters, and of ratings with the automated score", "of", "measure")
    view.add_column("value", justify="right")
    name = "Cohen's kappa" if found.n_raters == 2 else "Fleiss' kappa"
    for scale, measurement in found.alpha.items():
        view.add_row(_words(scale), "Krippendorff's alpha", _interval(measurement))
    for kind, measurement in found.kappa.items():
        view.add_row(kind, name, _interval(measurement))
    for scale, measurement in found.correlations.items():
        view.add_row(_words(scale), "Spearman with score", _interval(measurement))
    return view


def _arms(found: HumanEvaluation) -> Table:
    view = _table("Arms", "quantity", "arm")
    view.add_column("mean", justify="right")
    view.add_column("chance", justify="right")
    for row in found.arms:
        arm = readable_token(row.arm, length=34) + (" (null)" if row.is_null else "")
        view.add_row(_words(row.quantity), arm, _interval(row.value), "" if row.chance is None else f"{row.chance:.2f}")
    return view


def _differences(found: HumanEvaluation) -> Table:
    view = _table("Differences over features of equal density, sign-flip test", "quantity", "arm minus other")
    for column in ("difference", "pairs", "p"):
        view.add_column(column, justify="right")
    for row in found.differences:
        arms = f"{readable_token(row.arm, length=28)} - {readable_token(row.other, length=28)}"
        view.add_row(_words(row.quantity), arms, _interval(row.difference), str(row.n_pairs), f"{row.p:.4f}")
    return view


def _raters(found: HumanEvaluation) -> Table:
    view = _table("Raters", "rater")
    for column in ("answers", "gold checks right", "repeats alike"):
        view.add_column(column, justify="right")
    for row in found.raters:
        shares = ["" if share is None else f"{share:.2f}" for share in (row.gold, row.consistency)]
        view.add_row(readable_token(row.rater, length=24), str(row.n_answers), *shares)
    return view


def _table(title: str, *columns: str) -> Table:
    view = Table(title=title, box=box.SIMPLE, title_justify="left")
    for column in columns:
        view.add_column(column)
    return view


def _words(name: str) -> str:
    return name.replace("_", " ")


def _interval(measurement: Measurement) -> str:
    if measurement.value is None:
        return f"none: {measurement.reason}"
    if measurement.low is None:
        return f"{measurement.value:.2f}"
    return f"{measurement.value:.2f} [{measurement.low:.2f}, {measurement.high:.2f}]"
