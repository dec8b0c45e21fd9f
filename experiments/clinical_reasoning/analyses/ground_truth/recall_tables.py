"""What circuits recall, as tables: of the causes, by where nodes are, of the answers, and when everything changes."""

from experiments.clinical_reasoning.analyses.ground_truth.measuring import DEFAULT, SLOW
from experiments.clinical_reasoning.analyses.ground_truth.ranked_nodes import ALL, ANSWER, GROUPS, LATE, Arm
from experiments.clinical_reasoning.analyses.ground_truth.recorded import NULLS, Columns, Recorded
from experiments.clinical_reasoning.statistics import by_template, holm, sign_flip
from experiments.report.contents import Row, Table
from sae.measurement import Measurement

__all__ = [
    "FEW",
    "RANDOM",
    "answer_table",
    "cause_table",
    "condition_table",
    "paired_table",
    "place_table",
    "title_of",
    "whole_table",
]

RANDOM = "random differing nodes"
FEW = 5
"""Nodes that are so few that random ones seldom recall anything."""
WHOLE_FEW = 10
"""The same where several findings compete for them."""


def title_of(arm: Arm) -> str:
    """A basis and a method, for people."""
    return f"{arm[0]}, {arm[1].replace('_', ' ')}"


def cause_table(recorded: Recorded) -> Table:
    """Recall of the causes for every basis and method, beside all nulls."""
    size, of_few = recorded.bar_size, f"{RANDOM}, {FEW}"
    rows = []
    for arm in recorded.arms("cause"):
        columns = recorded.recalls(arm, "cause", ALL)
        cells = {
            f"{size} nodes": columns.mean("found", size),
            f"{FEW} nodes": columns.mean("found", FEW),
            "nameable": columns.mean("nameable"),
            "differing": columns.mean("differing"),
        }
        nulls = {**columns.nulls(), of_few: columns.mean("random_differing", FEW)}
        rows.append(Row(title_of(arm), cells, nulls))
    return Table(
        "ground_truth_causes",
        "Recall of the causes",
        (f"{size} nodes", f"{FEW} nodes", "nameable", "differing"),
        tuple(rows),
        (*NULLS, of_few),
        f"Share of a case's causes that a node of its circuits is named for, mean over cases; one circuit a cause, of "
        f"{size} nodes or of {FEW}. A cause that no feature of the basis is named for cannot be recalled (`nameable`), "
        f"nor one that no node is named for that differs (`differing`). Nulls are exact probabilities of the same "
        f"event at {size} nodes, the last at {FEW}. {_slow_note()}",
    )


def place_table(recorded: Recorded) -> Table:
    """Where the nodes are that recall the causes: what is left without the trivial ones."""
    size = recorded.bar_size
    arms = [arm for arm in recorded.arms("cause") if arm[1] == DEFAULT[1] or arm[0] == DEFAULT[0]]
    rows = []
    for group in GROUPS:
        for arm in arms:
            columns = recorded.recalls(arm, "cause", group)
            cells = {
                f"{size} nodes": columns.mean("found", size),
                f"{FEW} nodes": columns.mean("found", FEW),
                "differing": columns.mean("differing"),
            }
            rows.append(Row(f"{group}: {title_of(arm)}", cells, columns.nulls()))
    return Table(
        "ground_truth_places",
        "Recall of the causes, by where nodes are",
        (f"{size} nodes", f"{FEW} nodes", "differing"),
        tuple(rows),
        tuple(NULLS),
        "The same circuits, of which only some nodes count. At the first sites a feature of the changed word differs "
        "whatever the model makes of it; at the answer position only what the model carried there can differ.",
    )


def answer_table(recorded: Recorded) -> Table:
    """Recall of the diagnoses that the model answers with and without the change."""
    size = recorded.bar_size
    rows = []
    for arm in recorded.arms("diagnosis"):
        columns = recorded.recalls(arm, "diagnosis", ALL)
        cells = {
            f"{size} nodes": columns.mean("found", size),
            f"{size} nodes, {ANSWER}": recorded.recalls(arm, "diagnosis", ANSWER).mean("found", size),
            f"{FEW} nodes": columns.mean("found", FEW),
            "nameable": columns.mean("nameable"),
        }
        rows.append(Row(title_of(arm), cells, columns.nulls()))
    return Table(
        "ground_truth_answers",
        "Recall of the diagnoses",
        (f"{size} nodes", f"{size} nodes, {ANSWER}", f"{FEW} nodes", "nameable"),
        tuple(rows),
        tuple(NULLS),
        "Share of the diagnoses that the model answers, to the prompt and to its contrasts, that a node is named for: "
        f"as said or as yet unsaid. {_slow_note()}",
    )


def condition_table(recorded: Recorded) -> Table | None:
    """Whether the condition that changes the drug is in the circuit; None where no case was asked for it."""
    size, of_few = recorded.bar_size, f"{RANDOM}, {FEW}"
    rows = []
    for arm in recorded.arms("condition"):
        columns, late, answer = (recorded.recalls(arm, "condition", group) for group in GROUPS)
        cells = {
            f"{size} nodes": columns.mean("found", size),
            f"{FEW} nodes": columns.mean("found", FEW),
            f"{size} nodes, {LATE}": late.mean("found", size),
            f"{size} nodes, {ANSWER}": answer.mean("found", size),
            "nameable": columns.mean("nameable"),
        }
        nulls = {**columns.nulls(), of_few: columns.mean("random_differing", FEW)}
        rows.append(Row(title_of(arm), cells, nulls))
    if not rows:
        return None
    return Table(
        "ground_truth_conditions",
        "The condition that changes the drug",
        (f"{size} nodes", f"{FEW} nodes", f"{size} nodes, {LATE}", f"{size} nodes, {ANSWER}", "nameable"),
        tuple(rows),
        (*NULLS, of_few),
        "Cases whose drug is another because of an allergy, a pregnancy or a renal failure; the contrast replaces that "
        "condition alone. Share of the cases in whose circuit a node is named for it.",
    )


def whole_table(recorded: Recorded) -> Table | None:
    """Do causes lead when all findings change at once; None where no case has such a contrast."""
    sizes = (WHOLE_FEW, recorded.bar_size)
    rows = []
    for arm in recorded.arms("whole bystander"):
        for group in (ALL, LATE):
            causes, others = (recorded.recalls(arm, f"whole {kind}", group) for kind in ("cause", "bystander"))
            cells = {}
            for size in sizes:
                own, others_own = _of_same_cases(causes, others, "found", size)
                cells[f"difference, {size}"] = _mean_difference(others.templates, own, others_own)
                cells[f"causes, {size}"] = by_template(own, others.templates)
                cells[f"bystanders, {size}"] = by_template(others_own, others.templates)
            random = _mean_difference(others.templates, *_of_same_cases(causes, others, "random_differing", WHOLE_FEW))
            rows.append(Row(f"{title_of(arm)}: {group}", cells, {RANDOM: random}))
    if not rows:
        return None
    return Table(
        "ground_truth_whole",
        "Causes against bystanders when all findings change at once",
        tuple(f"{what}, {size}" for size in sizes for what in ("difference", "causes", "bystanders")),
        tuple(rows),
        (RANDOM,),
        "One contrast in which every finding is replaced, so that a feature of every changed word differs. Recall of "
        f"the causes and of the findings that cause nothing, by one circuit of {sizes[0]} or {sizes[1]} nodes, over "
        f"cases that have both. The null is the difference that random differing nodes give at {sizes[0]}.",
    )


def paired_table(recorded: Recorded) -> Table:
    """Every basis and method beside the default one on the same cases, with few nodes."""
    default = recorded.recalls(DEFAULT, "cause", ALL)
    arms = [arm for arm in recorded.arms("cause") if arm != DEFAULT]
    differences = {}
    for arm in arms:
        columns = recorded.recalls(arm, "cause", ALL)
        same, own = _of_same_cases(default, columns, "found", FEW)
        differences[arm] = ([a - b for a, b in zip(own, same, strict=True)], columns)
    adjusted = holm([sign_flip(values, columns.templates) for values, columns in differences.values()])
    rows = []
    for (arm, (values, columns)), p in zip(differences.items(), adjusted, strict=True):
        random, own_random = _of_same_cases(default, columns, "random_differing", FEW)
        cells = {
            "difference": by_template(values, columns.templates),
            f"{FEW} nodes": columns.mean("found", FEW),
            "p, Holm": Measurement(p, None, None, len(values), reason="a p-value has no interval"),
        }
        null = _mean_difference(columns.templates, own_random, random)
        rows.append(Row(title_of(arm), cells, {RANDOM: null}))
    return Table(
        "ground_truth_paired",
        f"Against the default: {title_of(DEFAULT)}",
        ("difference", f"{FEW} nodes", "p, Holm"),
        tuple(rows),
        (RANDOM,),
        f"Recall of the causes by circuits of {FEW} nodes less that of the default, on the same cases. p by turning "
        "the signs of whole templates, adjusted over the rows by Holm. The null is the same difference between random "
        f"nodes. {_slow_note()}",
    )


def _of_same_cases(first: Columns, second: Columns, name: str, size: int) -> tuple[list[float], list[float]]:
    """A column of both, for the cases of the second, which the first must have too."""
    row_of = {case: row for row, case in enumerate(first.case)}
    values = first.at(name, size)
    return [values[row_of[case]] for case in second.case], second.at(name, size)


def _mean_difference(templates: list[str], first: list[float], second: list[float]) -> Measurement:
    return by_template([a - b for a, b in zip(first, second, strict=True)], templates)


def _slow_note() -> str:
    listed = " and ".join(f"{method} ({n} cases)" for method, n in SLOW.items())
    return f"Slow methods were run on fewer cases: {listed} at most."
