"""From encoded text to scores: sample, explain, ask, score, summarise."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sae.dictionary.autoencoder import SAE
from sae.dictionary.labels import FeatureLabel
from sae.inspection.neighbours import decoder_neighbours
from sae.interpretation.agreement import Agreement, rank_agreement
from sae.interpretation.calibration import (
    NO_CALIBRATION,
    Calibration,
    CalibrationScore,
    calibration_of,
    score_calibration,
)
from sae.interpretation.explanations import (
    EXPLAINERS,
    Explanation,
    concept_explanations,
    label_explanations,
    lexical_explanations,
    topic_explanation,
)
from sae.interpretation.free_scores import FREE_SCORERS, Explained, FreeScores, by_condition
from sae.interpretation.judged_scores import JUDGED_SCORERS, Task, plan_tasks, score_tasks
from sae.interpretation.judges.answers import Verdict, ask
from sae.interpretation.judges.request import JudgeBackend, JudgeRequest
from sae.interpretation.material import Material
from sae.interpretation.nulls import density_matched_permutation
from sae.interpretation.sampling import Sample, Sampler
from sae.interpretation.scored import EXPLAINED, ScoreTable
from sae.interpretation.summary import Row, summarise

__all__ = ["SCORERS", "Interpretation", "Plan", "Settings", "interpret", "plan_interpretation"]

SCORERS = (*FREE_SCORERS, *JUDGED_SCORERS)
N_NEIGHBOURS = 8


@dataclass(frozen=True)
class Settings:
    """What is wanted.

    Attributes:
        explainer: Whose explanations the judge sees and sensitivity is told of; one of `EXPLAINERS`.
        scorers: Some of `SCORERS`; `ontology` is left out where nothing says what the text expresses.
        n_positives: Active windows that test each feature, a multiple of ten.
        n_explain: Fewest explain documents in which a feature must be active.
        max_tokens: Most tokens of a judge's answer.
        top_logprobs: How many log-probabilities to ask for, where graded answers are wanted.
        both_orders: Whether judges are asked everything twice, the second time with the alternatives reversed.
        seed: Of everything random.

    Raises:
        ValueError: There is no such explainer or scorer.
    """

    explainer: str = "lexical"
    scorers: tuple[str, ...] = SCORERS
    n_positives: int = 40
    n_explain: int = 20
    max_tokens: int = 16
    top_logprobs: int = 0
    both_orders: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        if self.explainer not in EXPLAINERS:
            raise ValueError(f"explainer is {self.explainer!r}, expected one of {', '.join(EXPLAINERS)}")
        unknown = [scorer for scorer in self.scorers if scorer not in SCORERS]
        if unknown or not self.scorers:
            raise ValueError(f"scorers are {', '.join(unknown) or 'none'}, expected some of {', '.join(SCORERS)}")


@dataclass(frozen=True)
class Plan:
    """Everything before the judge is asked.

    Attributes:
        features: The features asked for.
        samples: Of each of them; some were refused.
        explanations: By explainer and feature.
        exchanged: For each explainer and feature the one whose explanation is its null.
        topic: The explanation that fits all of the corpus.
        tasks: The questions.
        calibration: Questions with known answers that are asked with them.
    """

    features: tuple[int, ...]
    samples: Mapping[int, Sample]
    explanations: Mapping[str, Mapping[int, Explanation]]
    exchanged: Mapping[str, Mapping[int, int]]
    topic: Explanation
    tasks: tuple[Task, ...]
    calibration: Calibration = NO_CALIBRATION

    @property
    def usable(self) -> dict[int, Sample]:
        """The samples that were not refused."""
        return {feature: sample for feature, sample in self.samples.items() if sample.refusal is None}

    @property
    def requests(self) -> list[JudgeRequest]:
        """The questions as the judge sees them, task after task, then those of the calibration."""
        tasks = [question for task in self.tasks for question in task.questions]
        return [asked.request for question in (*tasks, *self.calibration.questions) for asked in question.orders]

    def calibrated(self, verdicts: Sequence[Verdict]) -> dict[str, CalibrationScore]:
        """What a judge makes of the calibration, by scorer, from its verdicts on `requests`."""
        n = sum(len(question.orders) for question in self.calibration.questions)
        return score_calibration(self.calibration, verdicts[len(verdicts) - n :])

    def explained(self, explainer: str) -> Explained:
        """The explanations of an explainer by condition."""
        return by_condition(self.explanations.get(explainer, {}), self.exchanged.get(explainer, {}), self.topic)

    def truths(self, model: str) -> dict[str, str]:
        """The right answers by the key of the question, for a judge that is to know them.

        A question about one feature may be asked about another one too, whose explanation was exchanged; then the
        answer is that of the feature which the explanation is of.
        """
        own_last = sorted(self.tasks, key=lambda task: task.condition == EXPLAINED)
        tasks = [question for task in own_last for question in task.questions]
        calibration = reversed(self.calibration.questions)  # with the own concepts last
        return {asked.request.key(model): asked.truth for each in (*calibration, *tasks) for asked in each.orders}


@dataclass(frozen=True)
class Interpretation:
    """What came of a plan.

    Attributes:
        plan: The plan.
        scores: By scorer, condition and feature.
        rows: The same in brief.
        verdicts: What the judge said to the questions of the plan.
        calibration: What it makes of questions with known answers, by scorer.
        agreement: Of its scores with those that need no judge.
    """

    plan: Plan
    scores: ScoreTable
    rows: tuple[Row, ...]
    verdicts: tuple[Verdict, ...]
    calibration: Mapping[str, CalibrationScore]
    agreement: tuple[Agreement, ...]


def plan_interpretation(
    material: Material,
    sae: SAE,
    features: Sequence[int],
    settings: Settings,
    *,
    labels: Mapping[int, FeatureLabel] | None = None,
    calibrate: bool = False,
) -> Plan:
    """Draw the samples, make the explanations, and write down all questions.

    Args:
        material: The text.
        sae: The dictionary that it was encoded with.
        features: Which features.
        settings: What is wanted.
        labels: Names that the features have already; for the explainer `labels`.
        calibrate: Whether to ask the judge questions with known answers too.

    Raises:
        ValueError: The explainer needs what is not there, or no feature has enough examples.
    """
    sampler = Sampler(
        material.windows, n_positives=settings.n_positives, n_explain=settings.n_explain, seed=settings.seed
    )
    samples = {
        feature: sampler.sample(feature, [near.feature for near in decoder_neighbours(sae, feature, n=N_NEIGHBOURS)])
        for feature in features
    }
    usable = {feature: sample for feature, sample in samples.items() if sample.refusal is None}
    if not usable:
        reasons = "; ".join(f"feature {feature}: {sample.refusal}" for feature, sample in list(samples.items())[:3])
        raise ValueError(f"no feature has enough examples ({reasons}); give more --tokens or fewer --examples")
    explanations = _explanations(material, list(usable), settings, labels or {})
    density = {feature: sample.density for feature, sample in usable.items()}
    exchanged = {
        explainer: density_matched_permutation(density, sorted(found), seed=settings.seed)
        for explainer, found in explanations.items()
    }
    topic = topic_explanation(material.text, material.texts.tokens)
    shown = by_condition(explanations[settings.explainer], exchanged[settings.explainer], topic)
    judged = [scorer for scorer in settings.scorers if scorer in JUDGED_SCORERS]
    like = JudgeRequest((), max_tokens=settings.max_tokens, top_logprobs=settings.top_logprobs, seed=settings.seed)
    tasks = plan_tasks(judged, material.texts, usable, shown, like, both_orders=settings.both_orders)
    calibration = calibration_of(judged, like) if calibrate else NO_CALIBRATION
    return Plan(tuple(features), samples, explanations, exchanged, topic, tuple(tasks), calibration)


def interpret(material: Material, plan: Plan, settings: Settings, judge: JudgeBackend) -> Interpretation:
    """Ask the judge and score.

    Raises:
        ValueError: The judge refuses or never answers.
    """
    verdicts = ask(judge, plan.requests)
    free = FreeScores(material, plan.usable, seed=settings.seed)
    table: ScoreTable = {}
    for scorer in ("lexical", "ontology"):
        if scorer in settings.scorers and scorer in plan.explanations:
            table[scorer] = free.rules(plan.explained(scorer))
    alike = {"embedding", "embedding_intruder"} & set(settings.scorers)
    if alike:
        exchanged = density_matched_permutation(
            {feature: sample.density for feature, sample in plan.usable.items()}, list(plan.usable), seed=settings.seed
        )
        table |= {scorer: scores for scorer, scores in free.embedding(exchanged).items() if scorer in alike}
    if "sensitivity" in settings.scorers and material.generates:
        table["sensitivity"] = free.sensitivity(plan.explained(settings.explainer))
    table |= score_tasks(plan.tasks, verdicts)
    calibration = plan.calibrated(verdicts)
    rows = summarise(table, calibration, seed=settings.seed)
    agreement = rank_agreement(table, seed=settings.seed)
    return Interpretation(plan, table, tuple(rows), tuple(verdicts), calibration, tuple(agreement))


def _explanations(
    material: Material, features: list[int], settings: Settings, labels: Mapping[int, FeatureLabel]
) -> dict[str, dict[int, Explanation]]:
    """By explainer; concepts only where the text's are known."""
    found = {"lexical": lexical_explanations(material.text, features, material.texts.tokens)}
    if material.concepts is not None:
        found["ontology"] = concept_explanations(material.windows, features, material.concepts)
    if settings.explainer == "labels":
        found["labels"] = label_explanations(labels, features, material.concepts)
    if not found.get(settings.explainer):
        raise ValueError(f"the explainer {settings.explainer} explains no feature: {_WHY[settings.explainer]}")
    return found


_WHY = {
    "lexical": "none of them fires in explain documents; give more --tokens",
    "ontology": "the corpus does not say its concepts, or none goes with a feature; give --ontology TSV",
    "labels": "the SAE has no labels.json with a name for one of them; take --explainer lexical",
}
