"""What is named: by each basis, in the circuits rightly or wrongly, and each finding by itself."""

import torch

from experiments.clinic.knowledge import DISEASES, FINDINGS
from experiments.clinical_reasoning.analyses.ground_truth.measuring import DEFAULT
from experiments.clinical_reasoning.analyses.ground_truth.recall_tables import FEW, title_of
from experiments.clinical_reasoning.analyses.ground_truth.recorded import Recorded, ratio_over_cases
from experiments.clinical_reasoning.statistics import holm
from experiments.report.contents import Row, Table
from sae.measurement import Measurement, bootstrap

__all__ = ["agreement_table", "basis_table", "finding_table", "precision_table", "tail_probability"]

N_NODES, N_NAMED, N_FINDING, RIGHT_FINDING, N_DIAGNOSIS, RIGHT_DIAGNOSIS = range(6)
"""Columns of the counts in the record."""


def agreement_table(recorded: Recorded) -> Table:
    """What the model makes a cause, beside what the world's rule needs for the answer."""
    mentions = [
        [
            [m["is_decisive"], m["is_cause"], m["n_flips"] > 0]
            for m in case["mentions"]
        ]
        for case in recorded.record["cases"]
    ]
    rows = []
    for label, column in (("most of its swaps change the answer", 1), ("any swap changes the answer", 2)):
        pairs = [[(mention[0], mention[column]) for mention in of_case] for of_case in mentions]
        both = [sum(a and b for a, b in of_case) for of_case in pairs]
        agreed = [sum(a == b for a, b in of_case) for of_case in pairs]
        n_decisive, n_causes = ([sum(pair[i] for pair in of_case) for of_case in pairs] for i in (0, 1))
        cells = {
            "both say the same": ratio_over_cases(agreed, list(map(len, pairs))),
            "of the decisive, causes": ratio_over_cases(both, n_decisive),
            "of the causes, decisive": ratio_over_cases(both, n_causes),
        }
        rows.append(Row(label, cells, {"by chance": _chance(n_decisive, n_causes, list(map(len, pairs)))}))
    n_mentions = sum(map(len, mentions))
    return Table(
        "ground_truth_agreement",
        "The cause of the model's answer, beside the rule of its world",
        ("both say the same", "of the decisive, causes", "of the causes, decisive"),
        tuple(rows),
        ("by chance",),
        f"Over the {n_mentions} findings, present or denied, of {len(mentions)} cases. Decisive is a finding without "
        "which the rule leaves the answer open or gives another. The first row is what is called a cause here: a "
        "single swap may also change the answer by what it brings.",
    )


def basis_table(recorded: Recorded) -> Table:
    """How many features of each basis are named, and for how much."""
    rows = []
    for name, counts in recorded.record["bases"].items():
        cells = {
            "features": str(counts["features"]),
            "named": str(counts["named"]),
            "findings": f"{counts['finding']} of {len(FINDINGS)}",
            "diagnoses": f"{counts['diagnosis']} of {len(DISEASES)}",
        }
        rows.append(Row(name, cells))
    return Table(
        "ground_truth_bases",
        "What the bases have names for",
        ("features", "named", "findings", "diagnoses"),
        tuple(rows),
        note="Names are given to all in one way, on the same validation documents: the concept that a feature detects "
        "best, with an F1 of at least 0.5 on documents that did not choose it. Counts, which have no null.",
    )


def precision_table(recorded: Recorded) -> Table:
    """How many of the nodes of circuits are named for what is at stake."""
    columns = ("right of the named", "right of all nodes", "findings right", "diagnoses right", "named")
    rows = []
    for arm in recorded.arms("cause"):
        counts = recorded.right(arm)
        circuit, differing = (list(map(list, zip(*counts[name], strict=True))) for name in ("circuit", "differing"))
        right, all_right = (
            [a + b for a, b in zip(of[RIGHT_FINDING], of[RIGHT_DIAGNOSIS], strict=True)] for of in (circuit, differing)
        )
        cells = {
            columns[0]: ratio_over_cases(right, circuit[N_NAMED]),
            columns[1]: ratio_over_cases(right, circuit[N_NODES]),
            columns[2]: ratio_over_cases(circuit[RIGHT_FINDING], circuit[N_FINDING]),
            columns[3]: ratio_over_cases(circuit[RIGHT_DIAGNOSIS], circuit[N_DIAGNOSIS]),
            columns[4]: ratio_over_cases(circuit[N_NAMED], circuit[N_NODES]),
        }
        null = ratio_over_cases(all_right, differing[N_NAMED])
        rows.append(Row(title_of(arm), cells, {"all differing nodes": null}))
    return Table(
        "ground_truth_precision",
        "Precision of the names",
        columns,
        tuple(rows),
        ("all differing nodes",),
        f"Of the nodes of the circuits of {recorded.bar_size} of all causes of a case, each counted once: right is a "
        "finding that was swapped out or in, or a diagnosis that the model answers to either prompt. In the second "
        "column a node without a name counts as a miss. The null is what random differing nodes have on average.",
    )


def finding_table(recorded: Recorded) -> Table:
    """Each finding that caused an answer, for the default basis and method."""
    size, few = recorded.sizes.index(recorded.bar_size), recorded.sizes.index(FEW)
    by_name: dict[str, list[dict]] = {}
    for cause in recorded.record["by_cause"]:
        by_name.setdefault(cause["name"], []).append(cause)
    names = sorted(by_name, key=lambda name: (-len(by_name[name]), name))
    tails = []
    for name in names:
        n_found = sum(_within(cause["first"], FEW) for cause in by_name[name])
        tails.append(tail_probability([cause["random_differing"][few] for cause in by_name[name]], n_found))
    columns = (f"{FEW} nodes", f"{recorded.bar_size} nodes", f"{recorded.bar_size} nodes, later half", "p, Holm")
    rows = []
    for name, adjusted in zip(names, holm(tails), strict=True):
        causes = by_name[name]
        ones = [1] * len(causes)
        reason = "an exact probability has no interval"
        cells = {
            columns[0]: ratio_over_cases([_within(cause["first"], FEW) for cause in causes], ones),
            columns[1]: ratio_over_cases([_within(cause["first"], recorded.bar_size) for cause in causes], ones),
            columns[2]: ratio_over_cases([_within(cause["first_late"], recorded.bar_size) for cause in causes], ones),
            columns[3]: Measurement(adjusted, None, None, len(causes), reason=reason),
        }
        nulls = {
            f"random differing nodes, {n}": ratio_over_cases([cause["random_differing"][i] for cause in causes], ones)
            for n, i in ((FEW, few), (recorded.bar_size, size))
        }
        rows.append(Row(f"{name.replace('_', ' ')} ({len(causes)})", cells, nulls))
    return Table(
        "ground_truth_findings",
        f"Each finding that caused an answer: {title_of(DEFAULT)}",
        columns,
        tuple(rows),
        (f"random differing nodes, {FEW}", f"random differing nodes, {recorded.bar_size}"),
        f"In brackets in how many cases; a case counts once. p is the exact probability that random differing nodes "
        f"recall it in as many cases or more at {FEW} nodes, adjusted over the findings by Holm: at "
        f"{recorded.bar_size} random nodes recall too much for a test.",
    )


def tail_probability(probabilities: list[float], n_found: int) -> float:
    """That of independent events with these probabilities at least so many happen."""
    counts = torch.ones(1, dtype=torch.float64)
    for p in probabilities:
        missed = torch.nn.functional.pad(counts * (1 - p), (0, 1))
        counts = missed + torch.nn.functional.pad(counts * p, (1, 0))
    return min(1.0, float(counts[n_found:].sum()))


def _within(first: int | None, size: int) -> int:
    return int(first is not None and first <= size)


def _chance(n_first: list[int], n_second: list[int], n_all: list[int]) -> Measurement:
    """How often two independent verdicts of these rates would be the same."""
    of_case = torch.tensor([n_first, n_second, n_all], dtype=torch.float64)

    def agreement(counts: torch.Tensor) -> torch.Tensor:
        first, second, total = (counts @ of_case[i] for i in range(3))
        p, q = first / total, second / total
        return p * q + (1 - p) * (1 - q)

    return bootstrap(agreement, len(n_all))
