"""A second judge that is asked the same questions: what it makes of them, and whether it agrees with the first."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sae.interpretation.agreement import kappa_of_judges
from sae.interpretation.calibration import CalibrationScore
from sae.interpretation.interpret import Interpretation
from sae.interpretation.judged_scores import score_tasks
from sae.interpretation.judges.answers import Verdict, ask
from sae.interpretation.judges.request import JudgeBackend
from sae.interpretation.summary import Row, summarise
from sae.measurement import Measurement

__all__ = ["SecondJudge", "ask_second"]


@dataclass(frozen=True)
class SecondJudge:
    """What came of the same questions.

    Attributes:
        name: Who it is.
        model: Whose answers they are.
        verdicts: What it said.
        rows: Its scores.
        calibration: What it makes of questions with known answers, by scorer.
        kappa: Agreement of its answers with the first judge's, by scorer.
    """

    name: str
    model: str
    verdicts: tuple[Verdict, ...]
    rows: tuple[Row, ...]
    calibration: Mapping[str, CalibrationScore]
    kappa: Mapping[str, Measurement]

    def to_json(self) -> dict[str, Any]:
        """What the record says of it."""
        return {
            "judge": self.name,
            "rows": [row.to_json() for row in self.rows],
            "calibration": {scorer: score.to_json() for scorer, score in self.calibration.items()},
            "kappa": {scorer: measured.to_json() for scorer, measured in self.kappa.items()},
        }


def ask_second(found: Interpretation, judge: JudgeBackend, *, seed: int = 0) -> SecondJudge:
    """Ask a second judge what the first was asked.

    Args:
        found: What came of the first.
        judge: The second.
        seed: Of the resampled features.

    Raises:
        ValueError: The judge refuses or never answers.
    """
    plan = found.plan
    verdicts = ask(judge, plan.requests)
    calibration = plan.calibrated(verdicts)
    rows = summarise(score_tasks(plan.tasks, verdicts), calibration, seed=seed)
    kappa = kappa_of_judges(plan.tasks, found.verdicts, verdicts, seed=seed)
    return SecondJudge(judge.name, judge.model, tuple(verdicts), tuple(rows), calibration, kappa)
