"""What circuits recall, as tables: of the causes, by where nodes are, of the answers, and when everything changes."""

from experiments.clinical_reasoning.analyses.ground_truth.measuring import DEFAULT, SLOW
from experiments.clinical_reasoning.analyses.ground_truth.ranked_nodes import ALL, ANSWER, GROUPS, LATE, Arm
from experiments.clinical_reasoning.analyses.ground_truth.recorded import NULLS, Recorded, mean_over_cases
from experiments.report.contents import Row, Table
from sae.measurement import Measurement

__all__ = ["answer_table", "cause_table", "condition_table", "place_table", "slow_table", "title_of", "whole_table"]

RANDOM = "random differing nodes"
FEW = 5
"""Nodes that are so few that random ones seldom recall anything."""
WHOLE_SIZE = 10


def title_of(arm: Arm) -> str:
    """A basis and a method, for people."""
    return f"{arm[0]}, {arm[1].replace('_', ' ')}"


def cause_table(recorded: Recorded) -> Table:
    """Recall of the causes for every basis and method, beside all nulls."""
    size, columns = recorded.bar_size, (f"{recorded.bar_size} nodes", f"{FEW} nodes", "nameable", "named differing")
    rows = []
    for arm in recorded.arms("cause"):
        cells = {
            columns[0]: recorded.recall(arm, "cause", ALL, size),
            columns[1]: recorded.recall(arm, "cause", ALL, FEW),
            columns[2]: recorded.column(arm, "cause", ALL, "nameable"),
            columns[3]: recorded.column(arm, "cause", ALL, "differing"),
        }
        nulls = {**recorded.nulls(arm, "cause", ALL), f"{RANDOM}, {FEW}": _random(recorded, arm, "cause", ALL, FEW)}
        rows.append(Row(title_of(arm), cells, nulls))
    return Table(
        "ground_truth_causes",
        "Recall of the causes",
        columns,
        tuple(rows),
        (*NULLS, f"{RANDOM}, {FEW}"),
        f"Share of a case's causes that a node of its circuits is named for, mean over cases; one circuit a cause, each "
        f"of {size} nodes or of {FEW}. A cause that no feature of the basis is named for cannot be recalled "
        f"(`nameable`), nor one that no differing node is named for (`named differing`). Nulls are exact probabilities "
        f"of the same event at {size} nodes, the last at {FEW}. {_slow_note()}",
    )


def place_table(recorded: Recorded) -> Table:
    """Where the nodes are that recall the causes: what is left without the trivial ones."""
    columns = (f"{recorded.bar_size} nodes", f"{FEW} nodes", "named differing")
    arms = [arm for arm in recorded.arms("cause") if arm[1] == DEFAULT[1] or arm[0] == DEFAULT[0]]
    rows = []
    for group in GROUPS:
        for arm in arms:
            cells = {
                columns[0]: recorded.recall(arm, "cause", group, recorded.bar_size),
                columns[1]: recorded.recall(arm, "cause", group, FEW),
                columns[2]: recorded.column(arm, "cause", group, "differing"),
            }
            rows.append(Row(f"{group}: {title_of(arm)}", cells, recorded.nulls(arm, "cause", group)))
    return Table(
        "ground_truth_places",
        "Recall of the causes, by where nodes are",
        columns,
        tuple(rows),
        tuple(NULLS),
        "The same circuits, of which only some nodes count. At the first sites a feature of the changed word differs "
        "whatever the model makes of it; at the answer position only what the model carried there can differ.",
    )


def answer_table(recorded: Recorded) -> Table:
    """Recall of the diagnoses that the model answers with and without the change."""
    size = recorded.bar_size
    columns = (f"{size} nodes", f"{size} nodes, answer position", f"{FEW} nodes", "nameable")
    rows = []
    for arm in recorded.arms("diagnosis"):
        cells = {
            columns[0]: recorded.recall(arm, "diagnosis", ALL, size),
            columns[1]: recorded.recall(arm, "diagnosis", ANSWER, size),
            columns[2]: recorded.recall(arm, "diagnosis", ALL, FEW),
            columns[3]: recorded.column(arm, "diagnosis", ALL, "nameable"),
        }
        rows.append(Row(title_of(arm), cells, recorded.nulls(arm, "diagnosis", ALL)))
    return Table(
        "ground_truth_answers",
        "Recall of the diagnoses",
        columns,
        tuple(rows),
        tuple(NULLS),
        "Share of the diagnoses that the model answers, to the prompt and to its contrasts, that a node is named for: "
        "as said or as yet unsaid. " + _slow_note(),
    )


def condition_table(recorded: Recorded) -> Table | None:
    """Whether the condition that changes the drug is in the circuit; None where no case was asked for it."""
    size, arms = recorded.bar_size, recorded.arms("condition")
    columns = (f"{size} nodes", f"{FEW} nodes", f"{size} nodes, {LATE}", f"{size} nodes, {ANSWER}", "nameable")
    rows = []
    for arm in arms:
        cells = {
            columns[0]: recorded.recall(arm, "condition", ALL, size),
            columns[1]: recorded.recall(arm, "condition", ALL, FEW),
            columns[2]: recorded.recall(arm, "condition", LATE, size),
            columns[3]: recorded.recall(arm, "condition", ANSWER, size),
            columns[4]: recorded.column(arm, "condition", ALL, "nameable"),
        }
        of_few = {f"{RANDOM}, {FEW}": _random(recorded, arm, "condition", ALL, FEW)}
        nulls = {**recorded.nulls(arm, "condition", ALL), **of_few}
        rows.append(Row(title_of(arm), cells, nulls))
    if not rows:
        return None
    return Table(
        "ground_truth_conditions",
        "The condition that changes the drug",
        columns,
        tuple(rows),
        (*NULLS, f"{RANDOM}, {FEW}"),
        "Cases whose drug is another because of an allergy, a pregnancy or a renal failure; the contrast replaces that "
        "condition alone. Share of the cases in whose circuit a node is named for it.",
    )


def whole_table(recorded: Recorded) -> Table | None:
    """Do causes lead when all findings change at once; None where no case has such a contrast."""
    few, many = WHOLE_SIZE, recorded.bar_size
    columns = tuple(f"{what}, {size}" for size in (few, many) for what in ("difference", "causes", "bystanders"))
    rows = []
    for arm in recorded.arms("whole bystander"):
        for group in (ALL, LATE):
            causes, others = (
                recorded.columns(arm, f"whole {kind}", group) for kind in ("cause", "bystander")
            )
            place = {case: row for row, case in enumerate(causes["case"])}
            shared = [(place[case], row) for row, case in enumerate(others["case"])]
            cells, differences = {}, {}
            for size in (few, many):
                for name in ("found", "random_differing"):
                    of_causes = recorded.at_size(causes[name], size)
                    of_others = recorded.at_size(others[name], size)
                    differences[name, size] = mean_over_cases([of_causes[i] - of_others[j] for i, j in shared])
                cells[f"difference, {size}"] = differences["found", size]
                found = [recorded.at_size(each["found"], size) for each in (causes, others)]
                cells[f"causes, {size}"] = mean_over_cases([found[0][i] for i, _ in shared])
                cells[f"bystanders, {size}"] = mean_over_cases([found[1][j] for _, j in shared])
            label = f"{title_of(arm)}: {group}"
            rows.append(Row(label, cells, {RANDOM: differences["random_differing", few]}))
    if not rows:
        return None
    return Table(
        "ground_truth_whole",
        "Causes against bystanders when all findings change at once",
        columns,
        tuple(rows),
        (RANDOM,),
        f"One contrast in which every finding is replaced, so that a feature of every changed word differs. Recall of "
        f"the causes and of the findings that cause nothing, by one circuit of {few} or {many} nodes, over cases that "
        f"have both. The null is the difference that random differing nodes give at {few}.",
    )


def slow_table(recorded: Recorded) -> Table:
    """Methods that were run on fewer cases, beside the default on the same cases."""
    columns = (f"{FEW} nodes", f"default, {FEW} nodes", "difference")
    rows = []
    default = recorded.columns(DEFAULT, "cause", ALL)
    place = {case: row for row, case in enumerate(default["case"])}
    of_default = recorded.at_size(default["found"], FEW)
    for arm in recorded.arms("cause"):
        if arm[1] not in SLOW:
            continue
        own = recorded.columns(arm, "cause", ALL)
        found = recorded.at_size(own["found"], FEW)
        same = [of_default[place[case]] for case in own["case"]]
        cells = {
            columns[0]: mean_over_cases(found),
            columns[1]: mean_over_cases(same),
            columns[2]: mean_over_cases([a - b for a, b in zip(found, same, strict=True)]),
        }
        rows.append(Row(title_of(arm), cells, {RANDOM: _random(recorded, arm, "cause", ALL, FEW)}))
    return Table(
        "ground_truth_slow",
        "Measured effects and learned masks, on the same cases as the default method",
        columns,
        tuple(rows),
        (RANDOM,),
        f"Recall of the causes by circuits of {FEW} nodes. The default is {title_of(DEFAULT)}.",
    )


def _random(recorded: Recorded, arm: Arm, question: str, group: str, size: int) -> Measurement:
    return mean_over_cases(recorded.at_size(recorded.columns(arm, question, group)["random_differing"], size))


def _slow_note() -> str:
    listed = " and ".join(f"{method} ({n} cases)" for method, n in SLOW.items())
    return f"Slow methods were run on fewer cases: {listed} at most."
