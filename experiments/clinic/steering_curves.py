"""Flips and divergences by strength, for every diagnosis and case, and the strengths that are chosen from them.

A strength is the length of the change beside the median length of the stream at the site; of a logit bias it is in
nats. Between two strengths that were run a case is in between, as if the weaker or the stronger had been taken by
chance.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Float64, Int
from torch import Tensor

from experiments.clinic.steering_cases import AnsweredCases, diagnosis_ids
from experiments.clinic.steering_draws import means_by_diagnosis
from sae.host.sites import Site
from steering.last_token_runs import LastTokenRuns
from steering.side_effects import divergence_of_others

__all__ = ["SteeringCurve", "biased_curve", "chosen_strengths", "steered_curve", "stream_length"]


@dataclass(frozen=True, eq=False)
class SteeringCurve:
    """One method at all strengths.

    Attributes:
        strengths: From 0, where nothing changes, upwards.
        flips: 1 where the wanted diagnosis becomes the top answer.
        divergences: KL(plain || steered) over the other diagnoses, without the wanted and the right one, renormalised.
        reverse_divergences: KL(steered || plain) of the same.
        counts: Where the right diagnosis is another than the wanted one; nothing else counts.
    """

    strengths: Float64[Tensor, " strengths"]
    flips: Float64[Tensor, "strengths diagnoses cases"]
    divergences: Float64[Tensor, "strengths diagnoses cases"]
    reverse_divergences: Float64[Tensor, "strengths diagnoses cases"]
    counts: Bool[Tensor, "diagnoses cases"]

    def at(
        self,
        outcomes: Float64[Tensor, "strengths diagnoses units"],
        wanted: Float64[Tensor, "*steps diagnoses"],
    ) -> Float64[Tensor, "*steps diagnoses units"]:
        """Outcomes with each diagnosis at a strength of its own; beyond the last strength those of the last."""
        upper = torch.searchsorted(self.strengths, wanted.contiguous()).clamp(1, len(self.strengths) - 1)
        low, high = self.strengths[upper - 1], self.strengths[upper]
        part = ((wanted - low) / (high - low)).clamp(0, 1)[..., None]
        diagnoses = torch.arange(outcomes.shape[1]).expand(upper.shape)
        return torch.lerp(outcomes[upper - 1, diagnoses], outcomes[upper, diagnoses], part)


def stream_length(runs: LastTokenRuns, site: Site) -> float:
    """Median length of the activations that are changed: a strength of 1."""
    return float(runs.activations[site][:, -runs.n_kept].float().norm(dim=-1).median())


def steered_curve(
    runs: LastTokenRuns,
    cases: AnsweredCases,
    site: Site,
    directions: Float[Tensor, "diagnoses d_model"],
    diagnoses: Sequence[int],
    strengths: Sequence[float],
) -> SteeringCurve:
    """Steer every case to every diagnosis at every strength.

    Args:
        runs: Of the cases' prompts.
        cases: The cases.
        site: Where to add.
        directions: Of length 1, one a diagnosis.
        diagnoses: As places in `DIAGNOSES`.
        strengths: Above 0.
    """
    curve, all_ids = _empty(runs, cases, diagnoses, strengths), diagnosis_ids(runs.host)
    lengths = torch.tensor(strengths)[:, None] * stream_length(runs, site)
    for row, diagnosis in enumerate(diagnoses):
        changed = runs.logits(site, lengths * directions[row].cpu())
        for step, logits in enumerate(changed, start=1):
            _note(curve, step, row, logits[:, -1], runs.plain_logits[:, -1], cases, all_ids, diagnosis)
    return curve


def biased_curve(
    runs: LastTokenRuns, cases: AnsweredCases, diagnoses: Sequence[int], strengths: Sequence[float]
) -> SteeringCurve:
    """Raise the wanted diagnosis' logit by each strength instead, in nats."""
    curve, all_ids = _empty(runs, cases, diagnoses, strengths), diagnosis_ids(runs.host)
    plain = runs.plain_logits[:, -1]
    for row, diagnosis in enumerate(diagnoses):
        for step, strength in enumerate(strengths, start=1):
            biased = plain.clone()
            biased[:, all_ids[diagnosis]] += strength
            _note(curve, step, row, biased, plain, cases, all_ids, diagnosis)
    return curve


def chosen_strengths(
    curve: SteeringCurve, chooses: Bool[Tensor, " cases"], wanted_rate: float
) -> Float64[Tensor, " diagnoses"]:
    """For each diagnosis the least strength that flips a wanted share of the choosing cases.

    Where none flips so many, the one that flips most.

    Args:
        curve: Of the method.
        chooses: The cases that may be looked at.
        wanted_rate: The share, above 0.
    """
    by_strength = means_by_diagnosis(curve.flips, curve.counts & chooses)
    found = []
    for column in by_strength.unbind(-1):
        reached = (column >= wanted_rate).nonzero()[:, 0]
        if len(reached) == 0:
            found.append(curve.strengths[column.argmax()])
            continue
        upper = int(reached[0])
        part = (wanted_rate - column[upper - 1]) / (column[upper] - column[upper - 1])
        found.append(torch.lerp(curve.strengths[upper - 1], curve.strengths[upper], part))
    return torch.stack(found)


def _empty(
    runs: LastTokenRuns, cases: AnsweredCases, diagnoses: Sequence[int], strengths: Sequence[float]
) -> SteeringCurve:
    """A curve of zeros, as at strength 0."""
    shape = (len(strengths) + 1, len(diagnoses), len(runs))
    flips, divergences, reverse = (torch.zeros(shape, dtype=torch.float64) for _ in range(3))
    counts = cases.answers[None] != torch.tensor(list(diagnoses))[:, None]
    return SteeringCurve(torch.tensor([0.0, *strengths], dtype=torch.float64), flips, divergences, reverse, counts)


def _note(
    curve: SteeringCurve,
    step: int,
    row: int,
    steered: Float[Tensor, "cases vocab"],
    plain: Float[Tensor, "cases vocab"],
    cases: AnsweredCases,
    all_ids: Int[Tensor, " all_diagnoses"],
    diagnosis: int,
) -> None:
    """Put what one run came to into the curve."""
    target = all_ids[diagnosis]
    without = torch.stack([all_ids[cases.answers], target.expand(len(cases.answers))], dim=1)
    curve.flips[step, row] = (steered.argmax(-1).cpu() == target).double()
    curve.divergences[step, row] = divergence_of_others(plain, steered, without, among=all_ids).cpu()
    curve.reverse_divergences[step, row] = divergence_of_others(steered, plain, without, among=all_ids).cpu()
