"""Candidates in the order of what they cause: output scores on other documents than those that they were found on."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from jaxtyping import Int
from torch import Tensor

from sae.host.sites import Site
from sae.measurement import Measurement, bootstrap
from steering.directions import Feature
from steering.finding.candidates import Candidate
from steering.first_order_effects import first_order_effects
from steering.last_token_runs import LastTokenRuns
from steering.output_score import answer_scores, output_scores
from steering.steered_host import SteeredHost

__all__ = ["RankedFeature", "ranked", "slope_candidates"]

SHORT_LIST = 8
"""Features of a site that are candidates for their first-order effect alone."""


@dataclass(frozen=True)
class RankedFeature:
    """A candidate and what it causes.

    Attributes:
        candidate: The feature, and how it was found.
        answer_score: Output score for the wanted answer, mean over prompts of other documents, 0 to 1.
        output_score: Output score of the paper, for the feature's own tokens on one neutral prompt, 0 to 1.
    """

    candidate: Candidate
    answer_score: Measurement
    output_score: float

    @property
    def feature(self) -> Feature:
        """The feature."""
        return self.candidate.feature


def slope_candidates(
    steered: SteeredHost, runs: LastTokenRuns, site: Site, target_id: int, *, n: int = SHORT_LIST
) -> list[Candidate]:
    """The `n` features of a site with the largest first-order effect on the answer's log-probability."""
    rows = steered.dictionaries.sae(site).decoder_rows
    effects = first_order_effects(runs, site, rows, [target_id])
    best = effects.topk(min(n, len(rows)))
    return [
        Candidate(Feature(site, index), "slope", None)
        for index, effect in zip(best.indices.tolist(), best.values.tolist(), strict=True)
        if effect > 0
    ]


def ranked(
    steered: SteeredHost, candidates: Iterable[Candidate], prompts: Sequence[Int[Tensor, " _"]], target_id: int
) -> list[RankedFeature]:
    """Candidates by how surely they make the model give the answer, the best first; each feature once.

    Args:
        steered: The model.
        candidates: Of any sites. Of a feature that was found in several ways the first counts.
        prompts: Of documents that the candidates were not found on, each ending where an answer is due.
        target_id: The answer.
    """
    by_feature: dict[Feature, Candidate] = {}
    for candidate in candidates:
        by_feature.setdefault(candidate.feature, candidate)
    found = []
    for site in sorted({feature.site for feature in by_feature}):
        features = [feature for feature in by_feature if feature.site == site]
        found += _scored(steered, site, features, by_feature, prompts, target_id)
    return sorted(found, key=lambda each: -(each.answer_score.value or 0.0))


def _scored(
    steered: SteeredHost,
    site: Site,
    features: Sequence[Feature],
    by_feature: dict[Feature, Candidate],
    prompts: Sequence[Int[Tensor, " _"]],
    target_id: int,
) -> list[RankedFeature]:
    sae, indices = steered.dictionaries.sae(site), [feature.index for feature in features]
    runs = LastTokenRuns.record(steered.host, prompts, [site])
    answers = answer_scores(runs, site, sae.decoder_rows[indices], [target_id])
    own = output_scores(steered.host, sae, site, indices).tolist()
    return [
        RankedFeature(by_feature[feature], _mean(scores), score)
        for feature, scores, score in zip(features, answers, own, strict=True)
    ]


def _mean(scores: Tensor) -> Measurement:
    """Over prompts, with its interval."""
    return bootstrap(lambda counts: counts @ scores.double() / counts.sum(1), len(scores), higher_is_better=True)
