"""Does one feature make the host give a wanted diagnosis, and what else changes: held beside difference of means.

Every diagnosis is wanted in every case whose right one is another, and only the prompt's last token is edited. Features
are chosen by output score on other documents, strengths on half of the cases; what is reported is of the other half.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float64
from torch import Tensor

from experiments.clinic.measurement import Measurement
from experiments.clinic.steering_cases import DIAGNOSES, answered_cases
from experiments.clinic.steering_comparison import NULLS, SteeringComparison, compare
from experiments.clinic.steering_directions import DiagnosisDirections, diagnosis_directions
from experiments.clinic.steering_draws import CaseDraws
from experiments.clinic.steering_drugs import SteeredDrugs, drugs_after
from sae.dictionary.autoencoder import SAE
from sae.host.host import HostModel
from sae.host.sites import Site
from sae.measurement import percentile_interval
from sae.progress import progress
from steering.steered_host import open_steered_host

__all__ = ["check_steering"]

SEED = 15
N_SCORING, N_EXAMPLES = 24, 1200
RATE_BAR, DRUG_BAR = 0.90, 0.70
RATIO_BAR, LAST_RATIO_BAR = 1.25, 1.0


def check_steering(
    host: HostModel, dictionaries: Mapping[Site, SAE], *, n_cases: int, diagnoses: Sequence[str] = DIAGNOSES
) -> tuple[list[Measurement], dict[str, Any]]:
    """Steer to each diagnosis by one feature, at the last two sites of the residual stream.

    The sites before them do not hold the diagnosis: there difference of means does not reach the bar either.

    Args:
        host: The model.
        dictionaries: Its SAEs.
        n_cases: Cases that the host answers right; half of them choose strengths.
        diagnoses: Which are wanted.
    """
    wanted = [DIAGNOSES.index(name) for name in diagnoses]
    cases = answered_cases(host, n_cases, seed=SEED, split="test")
    scoring = answered_cases(host, N_SCORING, seed=SEED, split="validation")
    examples = answered_cases(host, N_EXAMPLES, seed=SEED + 1, split="validation")
    chooses = torch.arange(n_cases) % 2 == 0
    measurements: list[Measurement] = []
    details: dict[str, Any] = {}
    for site in progress([Site("resid_post", host.n_layers - 2), Site("resid_post", host.n_layers - 1)], "steering"):
        sae = dictionaries[site]
        directions = diagnosis_directions(host, sae, site, wanted, scoring=scoring, examples=examples, seed=SEED)
        found = compare(host, directions, cases, wanted, chooses, seed=SEED)
        steered = open_steered_host(host, saes={site: sae})
        drugs = drugs_after(steered, site, found.changes.float(), cases, wanted, ~chooses)
        draws = CaseDraws.of(~chooses, len(wanted), seed=SEED)
        is_last = site.layer == host.n_layers - 1
        bar = LAST_RATIO_BAR if is_last else RATIO_BAR
        measurements += _measurements(site, found, drugs, draws, ratio_bar=bar, n=n_cases - int(chooses.sum()))
        details[str(site)] = _details(found, directions, drugs, diagnoses)
    return measurements, details


def _measurements(
    site: Site, found: SteeringComparison, drugs: SteeredDrugs, draws: CaseDraws, *, ratio_bar: float, n: int
) -> list[Measurement]:
    flipped = drugs.is_asked & drugs.flips.bool()
    null = {name: float(rate[0].nan_to_num(0.0)) for name, rate in found.null_rates.items()}
    same_domain = found.elsewhere["same domain"]
    return [
        _measurement(
            f"steering, {site}: wanted diagnosis given",
            found.rate,
            n,
            bar=RATE_BAR,
            null=null["random_feature"],
            null_name="random features of equal density, at equal KL of the other diagnoses",
        ),
        _measurement(
            f"steering, {site}: KL of other diagnoses, over difference of means",
            found.divergence_ratio,
            n,
            bar=ratio_bar,
            at_most=True,
        ),
        _measurement(
            f"steering, {site}: the drug is one for it",
            draws.means(drugs.fits, flipped),
            int(flipped.any(0).sum()),
            bar=DRUG_BAR,
            null=float(draws.means(drugs.fits_unsteered, drugs.is_asked)[0]),
            null_name="the drug for the right diagnosis",
        ),
        Measurement(
            f"steering, {site}: KL on unrelated prompts (nats)",
            same_domain["feature"],
            n,
            null=same_domain["difference_of_means"],
            null_name="difference of means, at an equal rate",
        ),
    ]


def _measurement(name: str, draws: Float64[Tensor, " draws"], n: int, **options: Any) -> Measurement:
    value = float(draws[0])
    if draws[0].isnan():
        raise ValueError(f"{name}: the rival never does as much, so that there is nothing to compare; give more cases")
    return Measurement(name, value, n, *percentile_interval(draws[1:]), **options)


def _details(
    found: SteeringComparison, directions: DiagnosisDirections, drugs: SteeredDrugs, diagnoses: Sequence[str]
) -> dict[str, Any]:
    def described(draws: Float64[Tensor, " draws"]) -> dict[str, float | None]:
        if draws[0].isnan():
            return {"value": None, "low": None, "high": None}
        low, high = percentile_interval(draws[1:])
        return {"value": float(draws[0]), "low": low, "high": high}

    flipped = drugs.is_asked & drugs.flips.bool()
    return {
        "rate": described(found.rate),
        "divergence_nats": described(found.divergence),
        "divergence_ratio": described(found.divergence_ratio),
        "divergence_ratio_steered_to_plain": described(found.reverse_ratio),
        "null_rates_at_equal_divergence": {name: described(found.null_rates[name]) for name in NULLS},
        "unrelated_prompts_nats": found.elsewhere,
        "logit_bias_rate_at_equal_unrelated_divergence": _or_none(found.bias_rate),
        "whole_steered_runs": {
            "rate": float(drugs.flips[drugs.is_asked].mean()),
            "drug_fits": float(drugs.fits[flipped].mean()),
            "drug_is_right": float(drugs.is_right[flipped].mean()),
            "n": int(drugs.is_asked.sum()),
        },
        "diagnoses": {
            name: {
                "feature": int(directions.features[row]),
                "output_score": float(directions.scores[row]),
                "density": float(directions.densities[row]),
                "strength_resid": float(found.strengths[row]),
                "rate": _or_none(float(found.rates_by_diagnosis[row])),
            }
            for row, name in enumerate(diagnoses)
        },
    }


def _or_none(value: float) -> float | None:
    return None if math.isnan(value) else value
