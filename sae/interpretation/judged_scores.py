"""The scores that need a judge: detection, fuzzing and intruder, planned first, asked together, scored last."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from sae.interpretation.detection_score import detection_score
from sae.interpretation.embedding_scores import N_SHOWN, intruder_groups
from sae.interpretation.free_scores import Explained
from sae.interpretation.judgements import Judgement, judged
from sae.interpretation.judges.answers import Verdict
from sae.interpretation.judges.request import JudgeRequest
from sae.interpretation.questions import Question, detection_questions, fuzzing_questions, intruder_questions
from sae.interpretation.sampling import Sample
from sae.interpretation.scored import EXPLAINED, SHUFFLED, Scored, ScoreTable, of_detection
from sae.interpretation.window_texts import WindowTexts

__all__ = ["JUDGED_SCORERS", "Task", "plan_tasks", "score_tasks"]

JUDGED_SCORERS = ("detection", "fuzzing", "intruder")


@dataclass(frozen=True)
class Task:
    """The questions that make one score."""

    scorer: str
    condition: str
    sample: Sample
    questions: tuple[Question, ...]


@dataclass(frozen=True)
class ChoiceScore:
    """Answers to questions with several choices; the shares are of the answered ones.

    Attributes:
        accuracy: Share that is right.
        accuracy_low: The same if all without an answer were wrong.
        accuracy_high: The same if they were right.
        n: Questions.
        n_failed: Those without an answer.
    """

    accuracy: float | None
    accuracy_low: float | None
    accuracy_high: float | None
    n: int
    n_failed: int


def plan_tasks(
    scorers: Sequence[str],
    texts: WindowTexts,
    samples: Mapping[int, Sample],
    explained: Explained,
    like: JudgeRequest,
    *,
    both_orders: bool = False,
) -> list[Task]:
    """All questions of some scorers.

    Args:
        scorers: Some of `JUDGED_SCORERS`.
        texts: Windows as judges read them.
        samples: Of the features that were not refused.
        explained: Explanations by condition and feature.
        like: What all requests have in common, such as `max_tokens`; its messages do not count.
        both_orders: Whether every question is asked twice, the second time with its alternatives reversed.
    """
    tasks = []
    for scorer in scorers:
        if scorer == "intruder":
            for feature in samples:
                for condition in (EXPLAINED, SHUFFLED):
                    groups = intruder_groups(samples[feature], null=condition == SHUFFLED)
                    questions = intruder_questions(texts, groups, like, both_orders=both_orders)
                    tasks.append(Task(scorer, condition, samples[feature], tuple(questions)))
            continue
        make = detection_questions if scorer == "detection" else fuzzing_questions
        for condition, explanations in explained.items():
            for feature in sorted(samples.keys() & explanations.keys()):
                said = explanations[feature].text
                questions = make(texts, samples[feature], said, like, both_orders=both_orders)
                tasks.append(Task(scorer, condition, samples[feature], tuple(questions)))
    return tasks


def score_tasks(tasks: Sequence[Task], verdicts: Sequence[Verdict]) -> ScoreTable:
    """Scores from what the judge said, one verdict for each order of each question of the tasks."""
    table: ScoreTable = {}
    everything = [question for task in tasks for question in task.questions]
    judgements = iter(judged(everything, verdicts))
    for task in tasks:
        given = [next(judgements) for _ in task.questions]
        scored = _intruder(given) if task.scorer == "intruder" else _detection(task, given)
        table.setdefault(task.scorer, {}).setdefault(task.condition, {})[task.sample.feature] = scored
    return table


def _detection(task: Task, judgements: Sequence[Judgement]) -> Scored:
    examples = [question.example for question in task.questions if question.example is not None]
    logits = [each.yes_logit for each in judgements]
    has_logits = any(logit is not None for logit in logits)
    density = task.sample.density if task.scorer == "detection" else None
    predictions = [each.yes for each in judgements]
    return of_detection(detection_score(examples, predictions, density=density, scores=logits if has_logits else None))


def _intruder(judgements: Sequence[Judgement]) -> Scored:
    right = [each.right for each in judgements]
    answered = [each for each in right if each is not None]
    n, n_right = len(right), sum(answered)
    n_failed = n - len(answered)
    score = ChoiceScore(
        accuracy=n_right / len(answered) if answered else None,
        accuracy_low=n_right / n if n else None,
        accuracy_high=(n_right + n_failed) / n if n else None,
        n=n,
        n_failed=n_failed,
    )
    bounds = (score.accuracy_low, score.accuracy_high)
    return Scored({"accuracy": score.accuracy}, {"accuracy": 1 / N_SHOWN}, asdict(score), n_failed, bounds)
