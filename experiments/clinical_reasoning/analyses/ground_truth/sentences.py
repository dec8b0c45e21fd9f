"""What was found, a sentence each, whatever the numbers are."""

from collections.abc import Iterator

from experiments.clinical_reasoning.analyses.ground_truth.measuring import DEFAULT
from experiments.clinical_reasoning.analyses.ground_truth.ranked_nodes import ALL, ANSWER, LATE
from experiments.clinical_reasoning.analyses.ground_truth.recall_tables import FEW, RANDOM, title_of
from experiments.clinical_reasoning.analyses.ground_truth.recorded import NULLS, Recorded
from experiments.report.contents import Row, Table
from experiments.report.wording import figure_of, interval_of
from sae.measurement import Measurement

__all__ = ["sentences"]

WANTED_RECALL = 0.8
MOST_BY_CHANCE = 0.2


def sentences(recorded: Recorded, tables: dict[str, Table]) -> tuple[str, ...]:
    """The findings of the analysis, from its tables by their names."""
    return (
        _causes(recorded, tables["ground_truth_agreement"]),
        _bar(recorded),
        _few(recorded),
        _places(recorded),
        _answers(recorded),
        _errors(recorded),
        _arms(recorded),
        *_whole(tables.get("ground_truth_whole")),
        *_conditions(recorded),
        _each_finding(tables["ground_truth_findings"]),
    )


def _causes(recorded: Recorded, table: Table) -> str:
    cases, excluded = recorded.record["cases"], recorded.record["excluded"]["wrong diagnosis"]
    mentions = [mention for case in cases for mention in case["mentions"]]
    n_causes = sum(mention["is_cause"] for mention in mentions)
    n_without = sum(not any(mention["is_cause"] for mention in case["mentions"]) for case in cases)
    row = table.rows[0]
    return (
        f"Of the {len(mentions)} findings of {len(cases)} cases that the model answers right ({excluded} that it does "
        f"not were left out), {n_causes} cause its answer: most of their single swaps change it. Cases without "
        f"any: {n_without}. Of the causes {_said(row.cells['of the causes, decisive'])} are decisive by the rule "
        f"of the world; both verdicts are the same for {_said(row.cells['both say the same'])} of the findings, by "
        f"chance for {figure_of(row.nulls['by chance'])}."
    )


def _bar(recorded: Recorded) -> str:
    columns = recorded.recalls(DEFAULT, "cause", ALL)
    found = columns.mean("found", recorded.bar_size)
    nulls = [(title, measured) for title, measured in columns.nulls().items() if title in NULLS]
    below = [f"{title} ({figure_of(measured)})" for title, measured in nulls if _below(measured)]
    above = [f"{title} ({figure_of(measured)})" for title, measured in nulls if not _below(measured)]
    reached = found.value is not None and found.value >= WANTED_RECALL
    return (
        f"Circuits of {recorded.bar_size} nodes ({title_of(DEFAULT)}) name {_said(found)} of the causes: the wanted "
        f"{WANTED_RECALL} is {'reached' if reached else 'missed'}. Below {MOST_BY_CHANCE} as wanted, of the "
        f"nulls: {_listed(below)}; not below it: {_listed(above)}."
    )


def _few(recorded: Recorded) -> str:
    columns = recorded.recalls(DEFAULT, "cause", ALL)
    return (
        f"With {FEW} nodes they name {_said(columns.mean('found', FEW))} of the causes, {RANDOM} "
        f"{figure_of(columns.mean('random_differing', FEW))}."
    )


def _places(recorded: Recorded) -> str:
    size = recorded.bar_size
    late, answer = (recorded.recalls(DEFAULT, "cause", group) for group in (LATE, ANSWER))
    return (
        f"Much of this is the changed word itself. Of the {size} nodes those at the {LATE} name "
        f"{_said(late.mean('found', size))} of the causes ({RANDOM} {figure_of(late.mean('random_differing', size))}; "
        f"with {FEW} nodes {figure_of(late.mean('found', FEW))} against "
        f"{figure_of(late.mean('random_differing', FEW))}), those at the {ANSWER} {_said(answer.mean('found', size))}; "
        f"any node that differs there is named for {figure_of(answer.mean('differing'))} of them."
    )


def _answers(recorded: Recorded) -> str:
    everywhere, answer = (recorded.recalls(DEFAULT, "diagnosis", group) for group in (ALL, ANSWER))
    size = recorded.bar_size
    random = figure_of(answer.mean("random_differing", size))
    return (
        f"The same circuits name {_said(everywhere.mean('found', size))} of the diagnoses that the model answers, at "
        f"the {ANSWER} {_said(answer.mean('found', size))} ({RANDOM} {random})."
    )


def _errors(recorded: Recorded) -> str:
    [(names, columns)] = [(names, columns) for basis, names, columns in recorded.errors() if basis == DEFAULT[0]]
    shares = [f"{_said(columns.quotient('errors', 'sites', i))} at {name}" for i, name in enumerate(names)]
    return f"What goes through the errors of the {DEFAULT[0]}, and has no name, is of the effect {_listed(shares)}."


def _arms(recorded: Recorded) -> str:
    arms = recorded.arms("cause")
    at_few = {arm: recorded.recalls(arm, "cause", ALL).mean("found", FEW) for arm in arms}
    methods = [(arm[1].replace("_", " "), at_few[arm]) for arm in arms if arm[0] == DEFAULT[0]]
    bases = [(arm[0], at_few[arm]) for arm in arms if arm[1] == DEFAULT[1]]
    return (
        f"With {FEW} nodes, by method on {DEFAULT[0]}: {_ordered(methods)}; by basis with "
        f"{DEFAULT[1].replace('_', ' ')}: {_ordered(bases)}."
    )


def _whole(table: Table | None) -> Iterator[str]:
    if table is None:
        return
    row = table.rows[0]
    difference = row.cells[table.columns[0]]
    assert isinstance(difference, Measurement)
    if difference.low is not None and difference.low > 0:
        verdict = "the ranking tells them apart"
    elif difference.high is not None and difference.high < 0:
        verdict = "bystanders come first"
    else:
        verdict = "the ranking does not tell them apart"
    few = table.columns[0].rpartition(" ")[2]
    yield (
        f"Where all findings change at once, {few} nodes name {_said(row.cells[table.columns[1]])} of the causes and "
        f"{_said(row.cells[table.columns[2]])} of the bystanders ({row.label}): {verdict}, by {_said(difference)}; "
        f"{RANDOM} by {figure_of(row.nulls[RANDOM])}."
    )


def _conditions(recorded: Recorded) -> Iterator[str]:
    if DEFAULT not in recorded.arms("condition"):
        return
    everywhere, late = (recorded.recalls(DEFAULT, "condition", group) for group in (ALL, LATE))
    yield (
        f"Where a condition of the patient changes the drug, {FEW} nodes name it in "
        f"{_said(everywhere.mean('found', FEW))} of the cases ({RANDOM} "
        f"{figure_of(everywhere.mean('random_differing', FEW))}), those of them at the {LATE} in "
        f"{_said(late.mean('found', FEW))} ({figure_of(late.mean('random_differing', FEW))})."
    )


def _each_finding(table: Table) -> str:
    told = sum(_p_value(row) < 0.05 for row in table.rows)
    return (
        f"Of {len(table.rows)} findings that caused an answer, {told} are named by {FEW} nodes more often than by "
        "random ones, with p below 0.05 after Holm; most caused too few answers for a test of their own."
    )


def _p_value(row: Row) -> float:
    cell = row.cells["p, Holm"]
    assert isinstance(cell, Measurement)
    assert cell.value is not None
    return cell.value


def _below(measured: Measurement) -> bool:
    return measured.value is not None and measured.value < MOST_BY_CHANCE


def _ordered(named: list[tuple[str, Measurement]]) -> str:
    ordered = sorted(named, key=lambda pair: -(pair[1].value or 0.0))
    return ", ".join(f"{name} {_said(measured)}" for name, measured in ordered)


def _listed(parts: list[str]) -> str:
    if not parts:
        return "none"
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def _said(cell: Measurement | str | None) -> str:
    assert isinstance(cell, Measurement)
    interval = interval_of(cell)
    return f"{figure_of(cell)} ({interval})" if interval else figure_of(cell)
