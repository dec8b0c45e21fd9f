"""The scores that need no judge: rules, embeddings, and sensitivity on fresh text."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict

import torch
from jaxtyping import Bool
from torch import Tensor

from sae.interpretation.detection_score import area_under_roc
from sae.interpretation.embedding_scores import (
    N_SHOWN,
    WindowEmbedding,
    embedding_intruder,
    embedding_similarity,
    intruder_groups,
)
from sae.interpretation.explanations import Explanation
from sae.interpretation.material import Material
from sae.interpretation.roles import Role
from sae.interpretation.rule_scores import rule_at_density, rule_detection, rule_sensitivity
from sae.interpretation.sampling import BASE_TIER, Sample
from sae.interpretation.scored import CONDITIONS, EXPLAINED, SHUFFLED, TOPIC, Scored, of_detection

__all__ = ["FREE_SCORERS", "Explained", "FreeScores", "by_condition"]

FREE_SCORERS = ("lexical", "ontology", "embedding", "embedding_intruder", "sensitivity")
N_TOPIC_WINDOWS = 200

Explained = Mapping[str, Mapping[int, Explanation]]
"""Explanations by condition and feature."""
Scores = dict[str, dict[int, Scored]]
"""By condition and feature."""


def by_condition(
    own: Mapping[int, Explanation], exchanged: Mapping[int, int], topic: Explanation
) -> dict[str, dict[int, Explanation]]:
    """What each feature is scored with: its own explanation, that of another one, the topic."""
    return {
        EXPLAINED: dict(own),
        SHUFFLED: {feature: own[other] for feature, other in exchanged.items()},
        TOPIC: dict.fromkeys(own, topic),
    }


class FreeScores:
    """Computes the scores of some samples.

    Args:
        material: The text.
        samples: Of the features that were not refused.
        seed: Of the windows that stand for the topic.
    """

    def __init__(self, material: Material, samples: Mapping[int, Sample], *, seed: int = 0) -> None:
        self._material = material
        self._samples = samples
        self._seed = seed
        self._called: dict[int, Bool[Tensor, " windows"]] = {}

    def rules(self, explained: Explained) -> Scores:
        """How well explanations with a rule detect, on the samples and on all score windows."""
        return self._each_rule(explained, self._rule)

    def sensitivity(self, explained: Explained) -> Scores:
        """In how many of the fresh windows that fit an explanation its feature is active."""
        return self._each_rule(explained, self._sensitivity)

    def _each_rule(self, explained: Explained, score: Callable[[int, Bool[Tensor, " windows"]], Scored]) -> Scores:
        return {
            condition: {
                feature: score(feature, self._calls(explanation))
                for feature, explanation in explained[condition].items()
                if feature in self._samples and explanation.rule is not None
            }
            for condition in CONDITIONS
        }

    def _calls(self, explanation: Explanation) -> Bool[Tensor, " windows"]:
        """The windows that an explanation calls active, computed once."""
        if id(explanation) not in self._called:
            assert explanation.rule is not None
            fires = explanation.rule.fires(self._material.text)
            self._called[id(explanation)] = self._material.windows.hold(fires)
        return self._called[id(explanation)]

    def _rule(self, feature: int, called: Bool[Tensor, " windows"]) -> Scored:
        scored = of_detection(rule_detection(self._samples[feature], called))
        at_density = rule_at_density(self._material.windows, feature, called)
        return Scored(
            {**scored.metrics, "f1_at_density": at_density.f1},
            {**scored.trivial, "f1_at_density": at_density.always_yes_f1},
            {**scored.details, "at_density": asdict(at_density)},
        )

    def _sensitivity(self, feature: int, called: Bool[Tensor, " windows"]) -> Scored:
        windows = self._material.windows
        fresh = windows.has_role(Role.FRESH)
        base = float((windows.strongest(feature)[fresh] > 0).double().mean()) if fresh.any() else None
        value = rule_sensitivity(windows, feature, called)
        return Scored({"": value}, {"": base}, {"sensitivity": value, "n": int((called & fresh).sum())})

    def embedding(self, exchanged: Mapping[int, int]) -> dict[str, Scores]:
        """Scores of likeness in words: `embedding` and `embedding_intruder`.

        Args:
            exchanged: For each feature the one whose explain windows are the null.
        """
        windows = self._material.windows
        in_explain = windows.has_role(Role.EXPLAIN).nonzero()[:, 0]
        drawn = torch.randperm(len(in_explain), generator=torch.Generator().manual_seed(self._seed))
        topic = in_explain[drawn[:N_TOPIC_WINDOWS]].tolist()
        embedding = self._embed(in_explain.tolist())
        own = {feature: [each.window for each in sample.explain] for feature, sample in self._samples.items()}
        shown = {
            EXPLAINED: own,
            SHUFFLED: {feature: own[other] for feature, other in exchanged.items()},
            TOPIC: dict.fromkeys(own, topic),
        }
        likeness = {
            condition: {
                feature: _likeness(self._samples[feature], embedding, explain) for feature, explain in each.items()
            }
            for condition, each in shown.items()
        }
        return {"embedding": likeness, "embedding_intruder": self._intruders(embedding)}

    def _embed(self, in_explain: Sequence[int]) -> WindowEmbedding:
        needed = dict.fromkeys(in_explain)
        for sample in self._samples.values():
            needed |= dict.fromkeys(each.window for each in sample.examples)
        return WindowEmbedding({window: self._material.texts.plain(window) for window in needed}, in_explain)

    def _intruders(self, embedding: WindowEmbedding) -> Scores:
        """Without an explanation there is nothing to exchange: the null are groups that nothing holds together."""
        return {
            condition: {
                feature: _accuracy(embedding_intruder(embedding, intruder_groups(sample, null=condition == SHUFFLED)))
                for feature, sample in self._samples.items()
            }
            for condition in (EXPLAINED, SHUFFLED)
        }


def _likeness(sample: Sample, embedding: WindowEmbedding, explain: Sequence[int]) -> Scored:
    scores = embedding_similarity(embedding, explain, [each.window for each in sample.examples])
    paired = list(zip(sample.examples, scores, strict=True))
    positive = [score for each, score in paired if each.is_positive]
    base = [score for each, score in paired if each.tier == BASE_TIER]
    hard = [score for each, score in paired if not each.is_positive and each.tier != BASE_TIER]
    metrics = {"auroc": area_under_roc(positive, base), "hard_auroc": area_under_roc(positive, hard)}
    return Scored(metrics, dict.fromkeys(metrics, 0.5), dict(metrics))


def _accuracy(value: float | None) -> Scored:
    return Scored({"accuracy": value}, {"accuracy": 1 / N_SHOWN}, {"accuracy": value})
