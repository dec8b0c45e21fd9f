"""An interpretation in the terminal: every score beside its nulls, then the best and the worst explained features."""

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from sae.interpretation.interpret import Interpretation
from sae.interpretation.scored import EXPLAINED
from sae.interpretation.summary import Row, metric_names
from sae.measurement import Measurement
from sae.token_text import visible_text

__all__ = ["interval_text", "number_text", "render_interpretation"]

MISSING = "\N{EN DASH}"


def render_interpretation(found: Interpretation, judge: str, *, n_features: int = 8) -> Group:
    """What `sae interpret` prints.

    Args:
        found: The scores.
        judge: Name of the judge, for the heading.
        n_features: How many features to show from either end.
    """
    return Group(_heading(found, judge), _rows(found.rows), *_failures(found), *_features(found, n_features))


def _heading(found: Interpretation, judge: str) -> Text:
    plan = found.plan
    refused = len(plan.features) - len(plan.usable)
    heading = Text(f"{len(plan.usable)} of {len(plan.features)} features scored", style="bold")
    heading.append(f", {refused} with too few examples; judge {judge}\n", style="not bold")
    meaning = (
        "means over n features, 95 % intervals: own explanations; those of others that fire as often (shuffled);\n"
        "the topic of the corpus; random directions of equal density, explained and scored alike; answering without a\n"
        "look; gain is own less shuffled; judge is what the judge has right of such questions with known answers\n"
    )
    return heading.append(meaning, style="dim")


def _rows(rows: tuple[Row, ...]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("score", overflow="fold")
    for heading in ("own", "shuffled", "topic", "random", "no look", "gain", "judge", "n"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(
            row.name,
            interval_text(row.value),
            number_text(row.shuffled.value),
            number_text(row.topic.value),
            number_text(None if row.random is None else row.random.value),
            number_text(row.trivial),
            interval_text(row.gain),
            number_text(None if row.judge_accuracy is None else row.judge_accuracy.value),
            str(row.value.n),
        )
    return table


def _failures(found: Interpretation) -> list[RenderableType]:
    n_failed = sum(each.choice is None for each in found.verdicts)
    if not n_failed:
        return []
    lines = [f"\n{n_failed} of {len(found.verdicts)} questions have no answer"]
    lines += [
        f"{row.name} lies between {number_text(row.low)} (all of them wrong) and {number_text(row.high)} (all right)"
        for row in found.rows
        if row.low is not None
    ]
    reason = next(each.error for each in found.verdicts if each.error is not None)
    return [Text("\n".join([*lines, f"the first reason: {visible_text(reason)}"]), style="dark_orange")]


def _features(found: Interpretation, n: int) -> list[RenderableType]:
    """Features by the first score, the best and the worst."""
    if not found.rows:
        return []
    scorer = next(iter(found.scores))
    metric = metric_names(found.scores[scorer][EXPLAINED])[0]
    values = {
        f: v for f, each in found.scores[scorer][EXPLAINED].items() if (v := each.metrics.get(metric)) is not None
    }
    ranked = sorted(values, key=lambda feature: -values[feature])
    shown = ranked if len(ranked) <= 2 * n else [*ranked[:n], *ranked[-n:]]
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), expand=True)
    table.add_column("feature", justify="right", no_wrap=True)
    table.add_column(f"{scorer}_{metric}".removesuffix("_"), justify="right", no_wrap=True)
    for explainer in found.plan.explanations:
        table.add_column(explainer, no_wrap=True, overflow="ellipsis", ratio=1)
    for feature in shown:
        said = [
            Text(visible_text(each[feature].text)) if feature in each else Text(MISSING)
            for each in found.plan.explanations.values()
        ]
        table.add_row(str(feature), number_text(values[feature]), *said)
    return [Text(""), table]


def interval_text(measured: Measurement) -> str:
    """The value with its interval, where it has one."""
    if measured.low is None or measured.high is None:
        return number_text(measured.value)
    return f"{number_text(measured.value)} [{number_text(measured.low)}, {number_text(measured.high)}]"


def number_text(value: float | None) -> str:
    """Three digits without the leading zero: `.812`."""
    if value is None:
        return MISSING
    return f"{value:.3f}".replace("0.", ".", 1).replace("-", "\N{MINUS SIGN}")
