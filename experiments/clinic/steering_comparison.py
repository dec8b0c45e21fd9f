"""One feature a diagnosis at one site, beside its rivals: all that is found, in every draw of cases and diagnoses."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float64
from torch import Tensor

from experiments.clinic.steering_cases import AnsweredCases
from experiments.clinic.steering_curves import (
    SteeringCurve,
    biased_curve,
    chosen_strengths,
    steered_curve,
    stream_length,
)
from experiments.clinic.steering_directions import DiagnosisDirections
from experiments.clinic.steering_draws import CaseDraws, means_by_diagnosis
from experiments.clinic.steering_elsewhere import biased_elsewhere, steered_elsewhere, unrelated_runs
from sae.host.host import HostModel
from steering.last_token_runs import LastTokenRuns
from steering.sweep.equal_harm import effect_at_harm

__all__ = ["NULLS", "SteeringComparison", "compare"]

STRENGTHS = (0.2, 0.4, 0.6, 0.8, 1.0, 1.2, 1.4, 1.6, 1.8, 2.1, 2.5, 3.0)
NULL_STRENGTHS = (1.0, 2.0, 3.0, 4.0, 6.0, 8.0)
BIASES = tuple(float(bias) for bias in range(2, 31, 2))
WANTED_RATE = 0.95
"""Of the choosing half. The bar is .90: a strength that just reaches it on some cases misses it on others."""
FACTORS = (0.0, 0.3, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.35, 1.5, 1.75, 2.0, 3.0)
"""Of the strengths that were chosen, to find where a rival does as much."""
NULLS = ("random_direction", "random_feature")
N_UNRELATED = 64

Draws = Float64[Tensor, " draws"]


@dataclass(frozen=True, eq=False)
class SteeringComparison:
    """What was found at one site; the first draw of each is the value itself.

    Attributes:
        strengths: Of the feature, for each diagnosis: the length of the change beside the stream's.
        changes: The features' changes, as they are added.
        rates_by_diagnosis: Share of the reporting cases in which each diagnosis is given.
        rate: The mean of these.
        divergence: KL(plain || steered) over the other diagnoses, in nats.
        divergence_ratio: That, over what difference of means needs for the same rate.
        reverse_ratio: The same of KL(steered || plain).
        null_rates: Rate of each null where its KL over the other diagnoses is the feature's; NaN where it never is.
        elsewhere: By domain, KL(steered || plain) at the last token of unrelated prompts: of the feature, of difference
            of means and of a logit bias, each where its rate is the feature's.
        bias_rate: Rate of a logit bias whose KL on the clinic's unrelated prompts is the feature's.
    """

    strengths: Float64[Tensor, " diagnoses"]
    changes: Float64[Tensor, "diagnoses d_model"]
    rates_by_diagnosis: Float64[Tensor, " diagnoses"]
    rate: Draws
    divergence: Draws
    divergence_ratio: Draws
    reverse_ratio: Draws
    null_rates: Mapping[str, Draws]
    elsewhere: Mapping[str, Mapping[str, float]]
    bias_rate: float


def compare(
    host: HostModel,
    directions: DiagnosisDirections,
    cases: AnsweredCases,
    diagnoses: Sequence[int],
    chooses: Bool[Tensor, " cases"],
    *,
    seed: int,
) -> SteeringComparison:
    """Choose strengths on some cases and compare on the others.

    Args:
        host: The model.
        directions: At the site, one a diagnosis by each method.
        cases: All cases.
        diagnoses: As places in `DIAGNOSES`.
        chooses: The half on which strengths are chosen.
        seed: Of the draws.
    """
    site, draws = directions.site, CaseDraws.of(~chooses, len(diagnoses), seed=seed)
    runs = LastTokenRuns.record(host, cases.prompts, [site])
    curve = steered_curve(runs, cases, site, directions.feature, diagnoses, STRENGTHS)
    chosen = chosen_strengths(curve, chooses, WANTED_RATE)
    flips = curve.at(curve.flips, chosen)
    rate, divergence, reverse = (
        draws.means(curve.at(each, chosen), curve.counts)
        for each in (curve.flips, curve.divergences, curve.reverse_divergences)
    )
    rival = _Scaled(steered_curve(runs, cases, site, directions.difference_of_means, diagnoses, STRENGTHS), chooses)
    bias = _Scaled(biased_curve(runs, cases, diagnoses, BIASES), chooses)
    null_rates = {}
    for name in NULLS:
        null = steered_curve(runs, cases, site, getattr(directions, name), diagnoses, NULL_STRENGTHS)
        null_rates[name] = effect_at_harm(
            draws.means(null.divergences, null.counts), draws.means(null.flips, null.counts), divergence
        )
    unit = stream_length(runs, site)
    changes = unit * chosen[:, None] * directions.feature.double()
    same_rate = unit * rival.strengths_at(rate[0], draws)[:, None] * directions.difference_of_means.double()
    elsewhere, bias_rate = {}, torch.nan
    for domain, others in unrelated_runs(host, site, N_UNRELATED, seed=seed).items():
        by_bias = biased_elsewhere(others, diagnoses, BIASES)
        of_bias = bias.curve.at(by_bias, bias.strengths_at(rate[0], draws))
        elsewhere[domain] = {
            "feature": float(steered_elsewhere(others, site, changes.float()).mean()),
            "difference_of_means": float(steered_elsewhere(others, site, same_rate.float()).mean()),
            "logit_bias": float(of_bias.mean()),
        }
        if domain == "same domain":
            bias_rate = bias.rate_at(by_bias, elsewhere[domain]["feature"], draws)
    return SteeringComparison(
        chosen,
        changes,
        means_by_diagnosis(flips, curve.counts & ~chooses),
        rate,
        divergence,
        divergence / rival.at_rate(rival.curve.divergences, rate, draws),
        reverse / rival.at_rate(rival.curve.reverse_divergences, rate, draws),
        null_rates,
        elsewhere,
        bias_rate,
    )


class _Scaled:
    """A rival whose chosen strengths are all scaled by one factor, until it does as much as the feature."""

    def __init__(self, curve: SteeringCurve, chooses: Bool[Tensor, " cases"]) -> None:
        self.curve = curve
        self._factors = torch.tensor(FACTORS, dtype=torch.float64)
        self._strengths = self._factors[:, None] * chosen_strengths(curve, chooses, WANTED_RATE)

    def at_rate(self, outcomes: Float64[Tensor, "strengths diagnoses cases"], rate: Draws, draws: CaseDraws) -> Draws:
        """Mean outcomes where the rival flips at that rate."""
        return effect_at_harm(self._means(self.curve.flips, draws), self._means(outcomes, draws), rate)

    def strengths_at(self, rate: Float64[Tensor, ""], draws: CaseDraws) -> Float64[Tensor, " diagnoses"]:
        """Its strengths there."""
        rates = self._means(self.curve.flips, draws)[:1]
        return effect_at_harm(rates, self._factors[None], rate[None]) * self._strengths[FACTORS.index(1.0)]

    def rate_at(
        self, elsewhere: Float64[Tensor, "strengths diagnoses prompts"], level: float, draws: CaseDraws
    ) -> float:
        """Its rate where its mean on unrelated prompts is at a level; NaN where it never is."""
        harms = self.curve.at(elsewhere, self._strengths).mean((-1, -2))[None]
        rates = self._means(self.curve.flips, draws)[:1]
        return float(effect_at_harm(harms, rates, torch.tensor([level], dtype=torch.float64))[0])

    def _means(
        self, outcomes: Float64[Tensor, "strengths diagnoses cases"], draws: CaseDraws
    ) -> Float64[Tensor, "draws factors"]:
        return draws.means(self.curve.at(outcomes, self._strengths), self.curve.counts)
