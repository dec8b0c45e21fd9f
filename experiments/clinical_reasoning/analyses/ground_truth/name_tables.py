"""What is named: by each basis, in the circuits rightly or wrongly, and each finding by itself."""

from typing import Any

import torch
from jaxtyping import Float64
from torch import Tensor

from experiments.clinic.knowledge import DISEASES, FINDINGS
from experiments.clinical_reasoning.analyses.ground_truth.bases import NEURONS
from experiments.clinical_reasoning.analyses.ground_truth.causes import CAUSE_SHARE
from experiments.clinical_reasoning.analyses.ground_truth.measuring import DEFAULT
from experiments.clinical_reasoning.analyses.ground_truth.ranked_nodes import LATE
from experiments.clinical_reasoning.analyses.ground_truth.recall_tables import FEW, RANDOM, title_of
from experiments.clinical_reasoning.analyses.ground_truth.recorded import Recorded
from experiments.clinical_reasoning.statistics import by_template, holm, ratio
from experiments.report.contents import Row, Table
from sae.measurement import Measurement

__all__ = ["agreement_table", "basis_table", "error_table", "finding_table", "precision_table", "tail_probability"]

N_NODES, N_NAMED, N_FINDING, RIGHT_FINDING, N_DIAGNOSIS, RIGHT_DIAGNOSIS = range(6)
"""Columns of the counts in the record."""

_AGREEMENTS = {"both say the same": (4, 0), "of the decisive, causes": (3, 1), "of the causes, decisive": (3, 2)}
"""Of the counts of `_verdicts`, which is divided by which."""


def agreement_table(recorded: Recorded) -> Table:
    """What the model makes a cause, beside what the world's rule needs for the answer."""
    cases = recorded.record["cases"]
    templates = [case["template"] for case in cases]
    rows = []
    for label, least in (("most of its swaps change the answer", CAUSE_SHARE), ("any swap changes the answer", 0.0)):
        counts = [_verdicts(case["mentions"], least) for case in cases]
        cells = {
            name: by_template([(float(row[part]), float(row[whole])) for row in counts], templates, ratio)
            for name, (part, whole) in _AGREEMENTS.items()
        }
        rows.append(Row(label, cells, {"by chance": by_template(counts, templates, _chance_agreement)}))
    n_mentions = sum(len(case["mentions"]) for case in cases)
    return Table(
        "ground_truth_agreement",
        "The cause of the model's answer, beside the rule of its world",
        tuple(_AGREEMENTS),
        tuple(rows),
        ("by chance",),
        f"Over the {n_mentions} findings, present or denied, of {len(cases)} cases. Decisive is a finding without "
        "which the rule leaves the answer open or gives another. The first row is what is called a cause here: a "
        "single swap may also change the answer by what it brings.",
    )


def _verdicts(mentions: list[dict[str, Any]], least: float) -> list[float]:
    """Mentions, decisive ones, causes, those that are both, and those on which both verdicts agree."""
    pairs = [(m["is_decisive"], m["n_flips"] > 0 and m["n_flips"] >= least * m["n_swaps"]) for m in mentions]
    verdicts = ((1, a, b, a and b, a == b) for a, b in pairs)
    return [float(sum(column)) for column in zip(*verdicts, strict=True)] or [0.0] * 5


def _chance_agreement(
    values: Float64[Tensor, "pairs columns"], counts: Float64[Tensor, "draws pairs"]
) -> Float64[Tensor, " draws"]:
    """How often two independent verdicts of these rates are the same."""
    total, decisive, causes = (counts @ values[:, column] for column in range(3))
    p, q = decisive / total, causes / total
    return p * q + (1 - p) * (1 - q)


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
        named = recorded.right(arm)
        cells = {
            columns[0]: named.share("circuit", [RIGHT_FINDING, RIGHT_DIAGNOSIS], [N_NAMED]),
            columns[1]: named.share("circuit", [RIGHT_FINDING, RIGHT_DIAGNOSIS], [N_NODES]),
            columns[2]: named.share("circuit", [RIGHT_FINDING], [N_FINDING]),
            columns[3]: named.share("circuit", [RIGHT_DIAGNOSIS], [N_DIAGNOSIS]),
            columns[4]: named.share("circuit", [N_NAMED], [N_NODES]),
        }
        null = named.share("differing", [RIGHT_FINDING, RIGHT_DIAGNOSIS], [N_NAMED])
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


def error_table(recorded: Recorded) -> Table:
    """How much of the effect goes through what the dictionaries miss."""
    found = [of_basis for of_basis in recorded.errors() if of_basis[0] != NEURONS]
    sites = list(dict.fromkeys(site for _, names, _ in found for site in names))
    rows = []
    for basis, names, columns in found:
        cells = {site: columns.quotient("errors", "sites", index) for index, site in enumerate(names)}
        rows.append(Row(basis, cells))
    return Table(
        "ground_truth_errors",
        "What goes through the errors",
        tuple(sites),
        tuple(rows),
        note="Effect of the errors of a site as a share of that of its features and errors together, by "
        f"{DEFAULT[1].replace('_', ' ')}, over the contrasts of all causes. Errors have no names and are no nodes of "
        "the circuits: what goes through them cannot be recalled. Effects are signed: below 0 the features overshoot. "
        "Neurons leave no error. A share of the whole has no null; 1 is a dictionary without features.",
    )


def finding_table(recorded: Recorded) -> Table:
    """Each finding that caused an answer, for the default basis and method."""
    sizes, of_bar = (FEW, recorded.bar_size), f"{recorded.bar_size} nodes"
    by_name: dict[str, list[dict[str, Any]]] = {}
    for cause in recorded.record["by_cause"]:
        by_name.setdefault(cause["name"], []).append(cause)
    names = sorted(by_name, key=lambda name: (-len(by_name[name]), name))
    nulls = {
        (name, n): [cause["random_differing"][recorded.sizes.index(n)] for cause in by_name[name]]
        for name in names
        for n in sizes
    }
    n_found = {name: sum(_within(cause["first"], FEW) for cause in by_name[name]) for name in names}
    adjusted = holm([tail_probability(nulls[name, FEW], n_found[name]) for name in names])
    rows = []
    for name, p in zip(names, adjusted, strict=True):
        causes = by_name[name]
        templates = [recorded.record["cases"][cause["case"]]["template"] for cause in causes]
        cells = {
            f"{n} nodes": by_template([float(_within(cause["first"], n)) for cause in causes], templates) for n in sizes
        }
        late = [float(_within(cause["first_late"], recorded.bar_size)) for cause in causes]
        cells[f"{of_bar}, {LATE}"] = by_template(late, templates)
        cells["p, Holm"] = Measurement(p, None, None, len(causes), reason="an exact probability has no interval")
        of_name = {f"{RANDOM}, {n}": by_template(nulls[name, n], templates) for n in sizes}
        rows.append(Row(f"{name.replace('_', ' ')} ({len(causes)})", cells, of_name))
    return Table(
        "ground_truth_findings",
        f"Each finding that caused an answer: {title_of(DEFAULT)}",
        (*(f"{n} nodes" for n in sizes), f"{of_bar}, {LATE}", "p, Holm"),
        tuple(rows),
        tuple(f"{RANDOM}, {n}" for n in sizes),
        "In brackets in how many cases. p is the exact probability that random differing nodes recall it in as many "
        f"cases or more at {FEW} nodes, cases taken as independent, adjusted over the findings by Holm; at {of_bar} "
        "random ones recall too much for a test.",
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
