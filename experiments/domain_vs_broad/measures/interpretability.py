"""How well features can be explained, without a judge: by rules of words and of concepts.

Rules are made on some documents and scored on others, beside the explanations of other features, the topic alone, and
random directions of equal density.
"""

from collections.abc import Sequence
from typing import Any

from experiments.domain_vs_broad.measures.judged_text import JudgedText
from experiments.domain_vs_broad.measures.settings import MeasureSettings
from sae.dictionary.autoencoder import SAE
from sae.host.host import HostModel
from sae.interpretation.feature_choice import choose_features
from sae.interpretation.interpret import Interpretation, Settings, interpret, plan_interpretation
from sae.interpretation.judges.scripted import ScriptedJudge
from sae.interpretation.material import Material, material_of_documents
from sae.interpretation.random_null import random_counterpart, site_sample
from sae.interpretation.roles import Role
from sae.interpretation.scored import EXPLAINED, SHUFFLED, TOPIC

__all__ = ["SCORERS", "interpretability_record"]

SCORERS = ("lexical", "ontology")
METRICS = ("f1", "balanced_accuracy", "f1_at_density")


def interpretability_record(host: HostModel, sae: SAE, text: JudgedText, settings: MeasureSettings) -> dict[str, Any]:
    """Every scored feature of the dictionary, and of random directions that are as often active.

    Raises:
        ValueError: No feature is active in enough documents.
    """
    wanted = Settings(scorers=SCORERS, n_positives=settings.examples, n_explain=settings.explaining, seed=settings.seed)
    material = _material(host, sae, text, settings)
    enough = material.text.document_counts(Role.EXPLAIN) >= settings.explaining
    chosen = choose_features(material.text.density(Role.EXPLAIN), enough, settings.features, seed=settings.seed)
    x = site_sample(host, sae, (document.text for document in text.held_out.texts))
    density = material.text.density(Role.EXPLAIN, Role.SCORE)
    random = random_counterpart(sae.to("cpu"), density, x, seed=settings.seed).to(host.device)
    return {
        "features": _scored(material, sae, chosen, wanted),
        "random": _scored(_material(host, random, text, settings), random, chosen, wanted),
    }


def _material(host: HostModel, sae: SAE, text: JudgedText, settings: MeasureSettings) -> Material:
    return material_of_documents(
        host, sae, text.corpus, text.held_out.texts, n_tokens=settings.tokens, seed=settings.seed
    )


def _scored(material: Material, sae: SAE, features: Sequence[int], settings: Settings) -> dict[str, Any]:
    """Or a reason, where none of the features has enough examples."""
    try:
        plan = plan_interpretation(material, sae, features, settings)
    except ValueError as error:
        return {"n_chosen": len(features), "reason": str(error)}
    # nothing is asked of a judge: rules are scored as they are
    found = interpret(material, plan, settings, ScriptedJudge("no"))
    return {
        "n_chosen": len(features),
        "n_usable": len(plan.usable),
        "scorers": {scorer: _rows(found, scorer) for scorer in found.scores},
    }


def _rows(found: Interpretation, scorer: str) -> list[dict[str, Any]]:
    """A row a feature: scores, what answering without looking gets, and both nulls of explanations."""
    conditions = found.scores[scorer]
    rows = []
    for feature, scored in sorted(conditions[EXPLAINED].items()):
        at_density = scored.details["at_density"]
        row: dict[str, Any] = {
            "feature": feature,
            "explanation": found.plan.explanations[scorer][feature].text,
            **{metric: scored.metrics[metric] for metric in METRICS},
            "positive_share": scored.details["positive_share"],
            "always_yes": scored.trivial["f1"],
            "positive_share_at_density": at_density["positive_share"],
            "always_yes_at_density": at_density["always_yes_f1"],
        }
        for null in (SHUFFLED, TOPIC):
            other = conditions[null].get(feature)
            row |= {f"{null}_{metric}": None if other is None else other.metrics[metric] for metric in METRICS}
        rows.append(row)
    return rows
