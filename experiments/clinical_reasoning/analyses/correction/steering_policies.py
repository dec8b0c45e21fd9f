"""The two policies of steering, at one site, with their nulls.

`Restoring` needs no answer. It reads which findings the text tells, in any words of the clinic's glossary, and where
the feature of such a finding is silent on its mention raises it there. `Oracle` is told the right diagnosis and adds
that diagnosis's feature at the prompt's last token: it shows what steering can do, not what it could do for somebody
who does not know the answer.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from circuits.runs.dictionaries import Dictionary
from circuits.workbench import Workbench
from experiments.clinical_reasoning.analyses.correction.answered_cases import AnsweredCases
from experiments.clinical_reasoning.analyses.correction.concept_features import (
    ConceptFeatures,
    best_features,
    missed_mentions,
    usual_activations,
    usual_at_the_end,
)
from experiments.clinical_reasoning.analyses.correction.policies import (
    marked_prompt,
    oracle_spec,
    other_concept,
    random_twin,
    restoring_spec,
)
from experiments.clinical_reasoning.analyses.correction.steered_answers import AnswerDistributions, edited
from experiments.clinical_reasoning.analyses.correction.told_cases import Mention, ToldCase
from sae.dictionary.autoencoder import SAE
from sae.host.sites import Site
from steering.dictionaries import Dictionaries
from steering.interventions import SteeringSpec
from steering.steered_host import SteeredHost

__all__ = ["Null", "Oracle", "Restoring"]

Null = Literal["concept", "latent"]
"""Another concept's feature in its place, or an unnamed one's, either as long."""
REFERENCE_TOKENS = 2000
"""Steering measures activations on so much text; strengths in raw units do not need it."""


@dataclass(frozen=True, eq=False)
class _AtSite:
    """What both have."""

    steered: SteeredHost
    dictionary: Dictionary
    concepts: ConceptFeatures
    named: tuple[int, ...]
    """Features of the site that have a name."""

    def run(self, cases: AnsweredCases, specs: Sequence[SteeringSpec]) -> AnswerDistributions:
        """What the model answers to each case under its edits."""
        return edited(self.steered, [marked_prompt(self.steered.host, told) for told in cases.told], specs)


def _steered(workbench: Workbench) -> SteeredHost:
    saes = {site: dictionary for site, dictionary in workbench.dictionaries.items() if isinstance(dictionary, SAE)}
    return SteeredHost(workbench.host, Dictionaries(workbench.host, saes=saes, n_tokens=REFERENCE_TOKENS))


@dataclass(frozen=True, eq=False)
class Restoring(_AtSite):
    """Raises the features of findings that the text tells and they miss."""

    @classmethod
    def at(cls, workbench: Workbench, site: Site, seen: Sequence[ToldCase]) -> "Restoring":
        """With usual activations from cases in words that training used."""
        dictionary, labels = workbench.dictionaries[site], workbench.labels[site]
        features = best_features(labels, ("pos:", "neg:"))
        concepts = usual_activations(workbench.host, dictionary, site, features, seen)
        return cls(_steered(workbench), dictionary, concepts, tuple(labels))

    def missed(self, told: Sequence[ToldCase]) -> list[list[Mention]]:
        """Of each case the mentions on which the feature of their concept is silent."""
        return missed_mentions(self.steered.host, self.dictionary, self.concepts, told)

    def specs(
        self, told: Sequence[ToldCase], strength: float, *, null: Null | None = None, rng: random.Random | None = None
    ) -> list[SteeringSpec]:
        """The edits of each case."""
        pairs = zip(told, self.missed(told), strict=True)
        return [
            restoring_spec(self.concepts, missed, strength, self._instead(each, missed, null, rng))
            for each, missed in pairs
        ]

    def _instead(
        self, told: ToldCase, missed: Sequence[Mention], null: Null | None, rng: random.Random | None
    ) -> Mapping[str, tuple[int, float]]:
        if null is None or rng is None:
            return {}
        names = [mention.concept for mention in told.mentions]
        found = {}
        for mention in missed:
            feature, usual = self.concepts.features[mention.concept], self.concepts.usual[mention.concept]
            if null == "latent":
                found[mention.concept] = random_twin(self.dictionary, feature, self.named, rng)
            else:
                other = other_concept(self.concepts, mention.concept, names, rng)
                found[mention.concept] = (self.concepts.features[other], self.concepts.usual[other] / usual)
        return found


@dataclass(frozen=True, eq=False)
class Oracle(_AtSite):
    """Adds the feature of the right diagnosis."""

    @classmethod
    def at(cls, workbench: Workbench, site: Site, seen: Sequence[ToldCase]) -> "Oracle":
        """With usual activations where the diagnosis is due."""
        dictionary, labels = workbench.dictionaries[site], workbench.labels[site]
        concepts = usual_at_the_end(workbench.host, dictionary, site, best_features(labels, ("latent:",)), seen)
        return cls(_steered(workbench), dictionary, concepts, tuple(labels))

    def specs(
        self, told: Sequence[ToldCase], strength: float, *, null: Null | None = None, rng: random.Random | None = None
    ) -> list[SteeringSpec]:
        """The edits of each case; none where its diagnosis has no feature."""
        return [self._spec(f"latent:{each.case.diagnosis}", strength, null, rng) for each in told]

    def _spec(self, concept: str, strength: float, null: Null | None, rng: random.Random | None) -> SteeringSpec:
        if concept not in self.concepts.features:
            return SteeringSpec()
        feature, value = self.concepts.features[concept], strength * self.concepts.usual[concept]
        if null == "latent" and rng is not None:
            feature, factor = random_twin(self.dictionary, feature, self.named, rng)
            value *= factor
        elif null == "concept" and rng is not None:
            concept = other_concept(self.concepts, concept, (), rng)
            feature, value = self.concepts.features[concept], strength * self.concepts.usual[concept]
        return oracle_spec(self.concepts.site, feature, value)
