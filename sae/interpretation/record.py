"""An interpretation as it is written down: enough to compute every score again."""

import csv
import io
from collections import Counter
from dataclasses import asdict
from typing import Any

from sae.interpretation.interpret import Interpretation, Settings
from sae.interpretation.material import Material
from sae.interpretation.roles import Role
from sae.interpretation.sampling import Sample
from sae.interpretation.scored import EXPLAINED, SHUFFLED, Scored
from sae.interpretation.summary import metric_names

__all__ = ["feature_table", "to_record"]

_NOTHING = Scored({}, {})


def to_record(found: Interpretation, material: Material, settings: Settings) -> dict[str, Any]:
    """Rows, coverage, and for each feature its explanations, scores and samples."""
    return {
        "text": _text(material),
        "settings": asdict(settings),
        "coverage": _coverage(found, material, settings),
        "topic": found.plan.topic.text,
        "rows": [row.to_json() for row in found.rows],
        "calibration": {scorer: score.to_json() for scorer, score in found.calibration.items()},
        "agreement": [each.to_json() for each in found.agreement],
        "failures": dict(Counter(each.error for each in found.verdicts if each.error is not None)),
        "features": [_feature(found, material, feature) for feature in found.plan.features],
    }


def feature_table(found: Interpretation) -> str:
    """Every feature in a line of a tab-separated table: explanations, and each score beside its shuffled null."""
    plan = found.plan
    columns = [
        (scorer, metric, condition)
        for scorer, conditions in found.scores.items()
        for metric in metric_names(conditions.get(EXPLAINED, {}))
        for condition in (EXPLAINED, SHUFFLED)
    ]
    lines = io.StringIO()
    writer = csv.writer(lines, delimiter="\t", lineterminator="\n")
    heading = [f"{f'{s}_{m}'.removesuffix('_')}{' shuffled' if c == SHUFFLED else ''}" for s, m, c in columns]
    writer.writerow(["feature", "window_density", "refusal", *plan.explanations, *heading])
    for feature in plan.features:
        sample = plan.samples[feature]
        said = [each[feature].text if feature in each else "" for each in plan.explanations.values()]
        scores = [found.scores[s].get(c, {}).get(feature, _NOTHING).metrics.get(m) for s, m, c in columns]
        numbers = ["" if score is None else f"{score:.4f}" for score in scores]
        writer.writerow([feature, f"{sample.density:.6f}", sample.refusal or "", *said, *numbers])
    return lines.getvalue()


def _text(material: Material) -> dict[str, Any]:
    text = material.text
    return {
        "corpus": material.corpus,
        "documents": {role.name.lower(): int((text.roles == role).sum()) for role in Role},
        "repeated_documents_left_out": text.n_repeated,
        "tokens": {role.name.lower(): int(text.has_role(role).sum()) for role in Role},
        "windows": len(material.windows.starts),
        "concepts": None if material.concepts is None else len(material.concepts.concepts),
        "generates": material.generates,
        "negation_pairs": material.n_flips,
    }


def _coverage(found: Interpretation, material: Material, settings: Settings) -> dict[str, Any]:
    plan = found.plan
    reasons = Counter(_kind(sample.refusal) for sample in plan.samples.values() if sample.refusal is not None)
    return {
        "living": int((material.text.density(Role.EXPLAIN) > 0).sum()),
        "active_in_enough_documents": int((material.text.document_counts(Role.EXPLAIN) >= settings.n_explain).sum()),
        "features": len(plan.features),
        "scored": len(plan.usable),
        "refused": dict(reasons),
        "explained": {explainer: len(each) for explainer, each in plan.explanations.items()},
        "distinct_explanations": {
            explainer: len({explanation.text for explanation in each.values()})
            for explainer, each in plan.explanations.items()
        },
    }


def _kind(refusal: str) -> str:
    """The reason without its number, so that equal ones are counted together."""
    return " ".join(word for word in refusal.split(",")[0].split() if not word.isdigit())


def _feature(found: Interpretation, material: Material, feature: int) -> dict[str, Any]:
    plan = found.plan
    return {
        "feature": feature,
        "explanations": {
            explainer: each[feature].text for explainer, each in plan.explanations.items() if feature in each
        },
        "exchanged_with": {explainer: each[feature] for explainer, each in plan.exchanged.items() if feature in each},
        "scores": {
            scorer: {
                EXPLAINED: conditions[EXPLAINED][feature].details,
                **{
                    condition: scored[feature].metrics
                    for condition, scored in conditions.items()
                    if condition != EXPLAINED and feature in scored
                },
            }
            for scorer, conditions in found.scores.items()
            if feature in conditions.get(EXPLAINED, {})
        },
        **_sample(plan.samples[feature]),
    }


def _sample(sample: Sample) -> dict[str, Any]:
    """Windows as [document, first token, one after the last, activation, tenth] by what they were drawn for."""
    drawn: dict[str, list[list[Any]]] = {"explain": []}
    for each in (*sample.explain, *sample.examples):
        row = [each.document, each.start, each.end, round(each.activation, 5), each.decile]
        drawn.setdefault(each.tier, []).append(row)
    return {"window_density": sample.density, "refusal": sample.refusal, "windows": drawn}
