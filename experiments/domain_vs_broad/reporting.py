"""From a finished matrix to its report."""

from collections.abc import Iterator

from experiments.costs import cost_table
from experiments.domain_vs_broad.arms import ARMS, BROAD
from experiments.domain_vs_broad.cell_evaluation import TEXTS
from experiments.domain_vs_broad.comparison import ONE_L0, Comparison
from experiments.domain_vs_broad.feature_tables import overlap_table, use_table
from experiments.domain_vs_broad.figures import curve_figure
from experiments.domain_vs_broad.listing import listed_section
from experiments.domain_vs_broad.measures.measuring import seconds_of_measures
from experiments.domain_vs_broad.measures.sections import measure_findings, measure_sections, measured_hosts
from experiments.domain_vs_broad.running import Matrix
from experiments.domain_vs_broad.table_figures import class_figure, overlap_figure, two_by_two_figure
from experiments.domain_vs_broad.tables import class_table, host_table, matched_table, two_by_two_table
from experiments.report.contents import Report, Row, Section, Table
from experiments.report.wording import figure_of, interval_of
from sae.measurement import Measurement

__all__ = ["matrix_report"]

TITLE = "Domain dictionaries against broad ones"
CLAIM = (
    "Do dictionaries trained on a domain's text reconstruct that domain better than broad ones of equal width, tokens "
    "and L0, and at what cost elsewhere? (The question of arXiv 2508.09363; the definitions are this project's.)"
)
STAGES = "Hosts: making and adapting them. Cells: loading hosts, harvest, training, evaluation."


def matrix_report(matrix: Matrix) -> Report:
    """The report of a finished matrix.

    Raises:
        ValueError: The arms cover no common L0.
    """
    profile = matrix.profile
    comparisons = [Comparison(matrix, name) for name, _ in profile.hosts]
    measured = measured_hosts(matrix)
    return Report(
        experiment="domain-vs-broad",
        profile=profile.name,
        title=TITLE if profile.label is None else f"{TITLE} ({profile.label})",
        claim=CLAIM,
        findings=(*_findings(comparisons[-1]), *measure_findings(measured)),
        warnings=(profile.warning,),
        config=profile.to_json(),
        seconds=_seconds(matrix),
        sections=(
            *_two_by_two_section(comparisons),
            *(_host_section(each) for each in comparisons),
            _feature_section(comparisons),
            *(() if profile.measured is None else measure_sections(measured)),
            *_adaptation_section(comparisons),
            Section("Arms and text", tables=(_arm_table(matrix), _text_table(matrix))),
            *_cost_section(matrix),
        ),
    )


def _seconds(matrix: Matrix) -> dict[str, float]:
    seconds = {"cells": round(matrix.seconds, 1)}
    if matrix.profile.measured is not None:
        seconds["measures"] = round(seconds_of_measures(matrix), 1)
    return seconds


def _two_by_two_section(comparisons: list[Comparison]) -> Iterator[Section]:
    """Where there are curves that can be read at one L0."""
    compared = [each for each in comparisons if each.has_curves]
    if compared:
        tables = [two_by_two_table(each) for each in compared]
        figures = [two_by_two_figure(table, each.host) for table, each in zip(tables, compared, strict=True)]
        yield Section("The two by two", tables=tuple(tables), figures=tuple(figures))


def _adaptation_section(comparisons: list[Comparison]) -> Iterator[Section]:
    if all(each.has_curves for each in comparisons):
        yield Section("Before and after adaptation", tables=(host_table(comparisons),))


def _feature_section(comparisons: list[Comparison]) -> Section:
    overlaps = [overlap_table(each) for each in comparisons]
    return Section(
        "Features",
        "How many features a text uses, and which ones arms share.",
        (*(use_table(each) for each in comparisons), *overlaps),
        tuple(overlap_figure(table, each.host) for table, each in zip(overlaps, comparisons, strict=True)),
    )


def _cost_section(matrix: Matrix) -> Iterator[Section]:
    if (table := cost_table(matrix.directory, STAGES)) is not None:
        yield Section("Cost", tables=(table,))


def _host_section(comparison: Comparison) -> Section:
    if not comparison.has_curves:
        return listed_section(comparison, TEXTS)
    classes = class_table(comparison)
    tables = tuple(matched_table(comparison, text) for text in TEXTS)
    curves = tuple(curve_figure(comparison, metric) for metric in ("explained_variance", "delta_ce"))
    return Section(
        f"At equal L0, host {comparison.host} adaptation",
        "Each arm's curve over log L0 is read at L0s that it and the broad arm both cover, and compared there.",
        tables if classes is None else (*tables, classes),
        curves if classes is None else (*curves, class_figure(classes, comparison.host)),
    )


def _findings(comparison: Comparison) -> Iterator[str]:
    """What the last host says, a sentence for each arm and text."""
    if not comparison.has_curves:
        yield f"There is {ONE_L0}."
        return
    for text in TEXTS:
        for arm in comparison.matrix.profile.arms:
            if arm == BROAD:
                continue
            if (l0 := comparison.middle(text, arm)) is None:
                yield f"Judged on {text} text, `{arm}` and the broad arm: {comparison.why_unmatched(text, arm)}."
                continue
            difference = comparison.advantage(arm, text, "explained_variance", l0)
            yield (
                f"Judged on {text} text at L0 {l0:.3g}, `{arm}` ({ARMS[arm].meaning}) explains {_compared(difference)} "
                "variance than the broad arm."
            )


def _compared(difference: Measurement) -> str:
    if difference.value is None or difference.low is None or difference.high is None:
        return "an unknown amount of"
    if difference.low <= 0 <= difference.high:
        return f"neither clearly more nor less ({figure_of(difference)}, {interval_of(difference)})"
    word = "more" if difference.low > 0 else "less"
    return f"{word} ({figure_of(difference)}, {interval_of(difference)})"


def _arm_table(matrix: Matrix) -> Table:
    rows = [
        Row(name, {"training": ARMS[name].meaning, "tokens": f"{ARMS[name].tokens * matrix.profile.n_tokens:,.0f}"})
        for name in matrix.profile.arms
    ]
    return Table("arms", "The arms", ("training", "tokens"), tuple(rows), note="Settings, not measurements.")


def _text_table(matrix: Matrix) -> Table:
    rows = [
        Row(f"{text} text, host {host}", {name.replace("_", " "): str(count) for name, count in counts.items()})
        for host, texts in matrix.texts.items()
        for text, counts in texts.items()
    ]
    return Table(
        "texts",
        "Held-out documents",
        ("documents", "exact duplicates", "near duplicates"),
        tuple(rows),
        note="Duplicates of training text or of each other were left out before anything was judged.",
    )
