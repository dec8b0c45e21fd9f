"""What `experiments run domain-vs-broad` runs."""

from collections.abc import Callable
from pathlib import Path

from experiments.costs import recorded_cost
from experiments.domain_vs_broad.cost_plan import cost_text
from experiments.domain_vs_broad.matrix import plan_text
from experiments.domain_vs_broad.measures.measuring import measure_matrix, measures_plan
from experiments.domain_vs_broad.profiles import profile_of
from experiments.domain_vs_broad.reporting import matrix_report
from experiments.domain_vs_broad.running import Matrix, nulls_plan, run_matrix
from experiments.domain_vs_broad.texts import check_texts
from experiments.report.contents import Report

__all__ = ["OPTIONS", "plan", "run"]

OPTIONS = ("seeds", "data", "hosts")
"""Of `experiments run`, beside those that every experiment takes."""


def plan(
    profile: str, *, work: Path, seeds: int | None = None, data: Path | None = None, hosts: Path | None = None
) -> str:
    """What there is to do and what it costs."""
    wanted = profile_of(profile, seeds=seeds, work=work, data=data, hosts=hosts)
    matrix = Matrix(wanted, work)
    lines = [plan_text(wanted, matrix.cells, matrix.missing), nulls_plan(matrix)]
    if wanted.measured is not None:
        lines.append(measures_plan(matrix))
    if wanted.label is not None:
        lines.insert(0, wanted.label)
    if wanted.shape is not None:
        lines.append(cost_text(wanted, matrix.missing, adapted=wanted.build is not None))
    return "\n".join(lines)


def run(
    profile: str,
    *,
    work: Path,
    seeds: int | None = None,
    data: Path | None = None,
    hosts: Path | None = None,
    device: str = "auto",
    tell: Callable[[str], None] = lambda _: None,
) -> Report:
    """Run a profile, as far as it is not done yet, and report.

    Args:
        profile: Its name.
        work: Where cells are kept.
        seeds: How many, if not the profile's own number.
        data: Text of profiles that need some.
        hosts: Where another run built the hosts, for profiles that build some.
        device: Where to run.
        tell: Is given the plan first.

    Raises:
        ValueError: The profile is unknown, text is missing, or the arms cover no common L0.
    """
    wanted = profile_of(profile, seeds=seeds, work=work, data=data, hosts=hosts)
    check_texts(wanted)
    if wanted.build is not None:
        with recorded_cost(work, "hosts"):
            wanted.build(device)
    with recorded_cost(work, "cells"):
        matrix = run_matrix(wanted, work, device=device, tell=tell)
    if wanted.measured is not None:
        tell(measures_plan(matrix))
        with recorded_cost(work, "measures"):
            measure_matrix(matrix, device=device)
    return matrix_report(matrix)
