"""What a case is steered along to get a diagnosis: one feature, and what it is compared with; all of length 1."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor
from torch.nn.functional import normalize

from experiments.clinic.corpus import clinical_texts
from experiments.clinic.steering_cases import AnsweredCases, diagnosis_ids, last_activations
from sae.dictionary.autoencoder import SAE
from sae.host.host import HostModel
from sae.host.sites import Site
from sae.inspection.activity import ActivityMeter
from sae.inspection.encoded_batches import encoded_batches
from steering.baseline_directions import random_feature
from steering.directions import difference_of_means, random_direction
from steering.first_order_effects import first_order_effects
from steering.last_token_runs import LastTokenRuns
from steering.output_score import answer_scores

__all__ = ["DiagnosisDirections", "diagnosis_directions"]

SHORT_LIST = 8
"""Features a diagnosis, of largest first-order effect, whose output score is measured."""
DENSITY_TOKENS = 50_000


@dataclass(frozen=True, eq=False)
class DiagnosisDirections:
    """A direction a diagnosis, by each method.

    Attributes:
        site: Where they lie.
        features: The chosen features.
        scores: Their output scores.
        densities: Share of tokens that they are active on.
        feature: Their decoder rows.
        difference_of_means: From the cases of other diagnoses to those of the diagnosis.
        random_direction: Drawn uniformly.
        random_feature: Decoder rows of other features of about the same density.
    """

    site: Site
    features: Int[Tensor, " diagnoses"]
    scores: Float64[Tensor, " diagnoses"]
    densities: Float64[Tensor, " diagnoses"]
    feature: Float[Tensor, "diagnoses d_model"]
    difference_of_means: Float[Tensor, "diagnoses d_model"]
    random_direction: Float[Tensor, "diagnoses d_model"]
    random_feature: Float[Tensor, "diagnoses d_model"]


def diagnosis_directions(
    host: HostModel,
    sae: SAE,
    site: Site,
    diagnoses: Sequence[int],
    *,
    scoring: AnsweredCases,
    examples: AnsweredCases,
    seed: int,
) -> DiagnosisDirections:
    """Choose a feature for each diagnosis by its output score, and give it its rivals and nulls.

    Args:
        host: The model.
        sae: The dictionary at the site.
        site: Where.
        diagnoses: As places in `DIAGNOSES`.
        scoring: Cases on which output scores are measured.
        examples: Cases of which the difference of means is taken.
        seed: Of the random rows.
    """
    densities = _densities(host, sae, seed)
    runs = LastTokenRuns.record(host, scoring.prompts, [site])
    rows = normalize(sae.decoder_rows)
    chosen, scores = _chosen_features(runs, site, rows, densities > 0, diagnosis_ids(host)[list(diagnoses)])
    x = last_activations(host, examples.prompts, [site])[site]
    random_ids = [random_feature(densities, int(feature), seed=seed + i) for i, feature in enumerate(chosen)]
    shifts = [difference_of_means(site, "", x[examples.answers == d], x[examples.answers != d]) for d in diagnoses]
    random = [random_direction(site, host.d_model, seed=seed + i) for i in range(len(diagnoses))]
    return DiagnosisDirections(
        site,
        chosen,
        scores,
        densities[chosen],
        feature=rows[chosen],
        difference_of_means=normalize(torch.tensor([shift.vector for shift in shifts])),
        random_direction=torch.tensor([each.vector for each in random]),
        random_feature=rows[random_ids],
    )


def _densities(host: HostModel, sae: SAE, seed: int) -> Float64[Tensor, " d_sae"]:
    meter = ActivityMeter(sae.d_sae)
    texts = clinical_texts("validation", seed=seed)
    for batch in encoded_batches(host, sae, texts, n_tokens=DENSITY_TOKENS):
        meter.update(batch)
    return meter.result().density


def _chosen_features(
    runs: LastTokenRuns,
    site: Site,
    rows: Float[Tensor, "d_sae d_model"],
    is_alive: Tensor,
    target_ids: Int[Tensor, " diagnoses"],
) -> tuple[Int[Tensor, " diagnoses"], Float64[Tensor, " diagnoses"]]:
    """Of the short list of each diagnosis the feature of the largest output score."""
    features, best = [], []
    for target in target_ids.tolist():
        slopes = first_order_effects(runs, site, rows, [target]).masked_fill(~is_alive, -torch.inf)
        short_list = slopes.topk(min(SHORT_LIST, len(rows))).indices
        scores = answer_scores(runs, site, rows[short_list], [target]).mean(1)
        features.append(short_list[scores.argmax()])
        best.append(scores.max())
    return torch.stack(features), torch.stack(best)
