"""Single edits and hints in words: what policies are made of."""

import random
from collections.abc import Mapping, Sequence

import torch

from circuits.runs.dictionaries import Dictionary, decoder_rows_of
from experiments.clinic.knowledge import DISEASES, FINDINGS
from experiments.clinic.phrasing import QUESTIONS
from experiments.clinical_reasoning.analyses.correction.concept_features import ConceptFeatures, mention_tokens
from experiments.clinical_reasoning.analyses.correction.told_cases import Mention, ToldCase
from sae.host.host import HostModel
from sae.host.sites import Site
from steering.directions import Feature
from steering.interventions import Intervention, SteeringSpec
from steering.positions import PromptTokens

__all__ = [
    "glossary_hint",
    "marked_prompt",
    "oracle_spec",
    "organ_hint",
    "other_concept",
    "random_twin",
    "restoring_spec",
]

N_NEAREST = 40
"""Features nearest in the length of their decoder row that a random one is drawn from."""


def marked_prompt(host: HostModel, told: ToldCase) -> PromptTokens:
    """The prompt, in which the last token of each mention is a span named after its concept."""
    spans = {
        mention.concept: (tokens[-1],)
        for mention, tokens in zip(told.mentions, mention_tokens(host, told), strict=True)
        if tokens
    }
    return PromptTokens(told.prompt, host.tokenise(told.prompt), spans)


def restoring_spec(
    concepts: ConceptFeatures, missed: Sequence[Mention], strength: float, instead: Mapping[str, tuple[int, float]]
) -> SteeringSpec:
    """Raise the feature of each missed finding, at the last token of its mention.

    Args:
        concepts: Features and their usual activations.
        missed: Mentions on which they are silent.
        strength: In usual activations.
        instead: By concept another feature, and what its strength is multiplied by: for nulls.
    """
    interventions: dict[Feature, Intervention] = {}
    for mention in missed:
        feature, factor = instead.get(mention.concept, (concepts.features[mention.concept], 1.0))
        target = Feature(concepts.site, feature)
        value = strength * factor * concepts.usual[mention.concept]
        interventions.setdefault(target, Intervention(target, "min", value, positions=f"span:{mention.concept}"))
    return SteeringSpec(tuple(interventions.values()))


def oracle_spec(site: Site, feature: int, value: float) -> SteeringSpec:
    """Add a diagnosis's feature at the last token."""
    return SteeringSpec((Intervention(Feature(site, feature), "add", value, positions="last"),))


def other_concept(concepts: ConceptFeatures, concept: str, told: Sequence[str], rng: random.Random) -> str:
    """Another concept of the same family, which the case does not tell.

    Raises:
        ValueError: There is none.
    """
    family = concept.partition(":")[0]
    others = [name for name in concepts.features if name.partition(":")[0] == family and name not in {concept, *told}]
    if not others:
        raise ValueError(f"no concept but {concept} of the family {family!r} has a feature, expected another")
    return rng.choice(others)


def random_twin(dictionary: Dictionary, feature: int, named: Sequence[int], rng: random.Random) -> tuple[int, float]:
    """A feature without a name that is edited in place of another, and the factor that makes the edit as long."""
    lengths = decoder_rows_of(dictionary, torch.arange(dictionary.d_sae)).norm(dim=-1)
    free = [index for index in range(dictionary.d_sae) if index not in named and lengths[index] > 0]
    nearest = sorted(free, key=lambda index: abs(lengths[index].item() - lengths[feature].item()))[:N_NEAREST]
    twin = rng.choice(nearest)
    return twin, (lengths[feature] / lengths[twin]).item()


def glossary_hint(told: ToldCase, missed: Sequence[Mention]) -> str:
    """The prompt behind a sentence of the glossary for each missed finding: that its words are those of another."""
    sentences = []
    for mention in missed:
        seen = FINDINGS[mention.concept.partition(":")[2]].seen
        if mention.text not in seen:
            sentences.append(f"Another word for {mention.text} is {seen[0]}. ")
    return "".join(sentences) + told.prompt


def organ_hint(told: ToldCase) -> str:
    """The prompt with the organ that the right diagnosis belongs to told before the question, as texts do."""
    organ = DISEASES[told.case.diagnosis].system
    return f"{told.vignette}{QUESTIONS['system'][told.phrasing.questions['system']]} {organ}.{told.question}"
