"""What `experiments run clinical-reasoning` runs."""

from collections.abc import Callable, Sequence
from pathlib import Path

from experiments.clinical_reasoning.analysis import ANALYSES
from experiments.clinical_reasoning.profiles import Profile, profile_of
from experiments.clinical_reasoning.reporting import reasoning_report
from experiments.clinical_reasoning.running import Task, plan_text, run_tasks
from experiments.report.contents import Report

__all__ = ["OPTIONS", "plan", "run"]

OPTIONS = ("model", "saes", "pairs", "only", "scale")
"""Of `experiments run`, beside those that every experiment takes."""

SEED = 0


def plan(
    profile: str,
    *,
    work: Path,
    model: str | None = None,
    saes: str | None = None,
    pairs: Path | None = None,
    only: Sequence[str] = (),
    scale: float = 1.0,
) -> str:
    """What there is to do."""
    wanted = profile_of(profile, model=model, saes=saes, pairs=pairs)
    return plan_text(_tasks(wanted, only, scale), work)


def run(
    profile: str,
    *,
    work: Path,
    model: str | None = None,
    saes: str | None = None,
    pairs: Path | None = None,
    only: Sequence[str] = (),
    scale: float = 1.0,
    device: str = "auto",
    tell: Callable[[str], None] = lambda _: None,
) -> Report:
    """Run the analyses that are missing, and report on all.

    Args:
        profile: Its name.
        work: Where records are kept.
        model: Of the profile `own`.
        saes: Of the profile `own`.
        pairs: Of the profile `own`.
        only: Names of the analyses wanted; all by default.
        scale: Times the default number of cases of each analysis.
        device: Where to run.
        tell: Is given the plan first.

    Raises:
        ValueError: Profile or analysis is unknown, or something cannot be loaded.
    """
    wanted = profile_of(profile, model=model, saes=saes, pairs=pairs)
    tasks = _tasks(wanted, only, scale)
    tell(plan_text(tasks, work))
    records = run_tasks(tasks, work, lambda: wanted.load(device), tell)
    return reasoning_report(wanted, tasks, records, work)


def _tasks(profile: Profile, only: Sequence[str], scale: float) -> list[Task]:
    possible = [analysis for analysis in ANALYSES if profile.is_clinic or not analysis.needs_clinic]
    names = [analysis.name for analysis in possible]
    if unknown := [name for name in only if name not in names]:
        raise ValueError(
            f"profile {profile.name!r} has no analysis {unknown[0]!r}, expected some of: {', '.join(names)}"
        )
    chosen = [analysis for analysis in possible if not only or analysis.name in only]
    return [Task(analysis, profile.source, max(1, round(scale * analysis.size)), SEED) for analysis in chosen]
