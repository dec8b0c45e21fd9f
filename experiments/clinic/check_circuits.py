"""Do circuits hold up: features only, all errors at their baseline, beside random features and a zero dictionary."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from circuits.effects.node_effects import score_nodes
from circuits.evaluation.kept_share import MIN_GAP, faithfulness
from circuits.evaluation.masked_runs import ALL_FEATURES, masked_metrics
from circuits.evaluation.selection import Ranking
from circuits.prompts.behaviour import Behaviour, describe_behaviour
from circuits.prompts.references import ReferencePool
from circuits.runs.baselines import Baseline, contrast_baseline, resample_baseline
from circuits.runs.node_set import NodeSet
from circuits.runs.runs import Runs, node_positions
from experiments.clinic.answering import answers
from experiments.clinic.case_sampling import paired_cases
from experiments.clinic.labels import zero_dictionary
from experiments.clinic.measurement import Measurement, bootstrap
from experiments.clinic.vignettes import ContrastPrompt, TestCase
from sae.dictionary.autoencoder import SAE
from sae.host.host import HostModel
from sae.host.prompts import single_token
from sae.host.sites import Site
from sae.progress import progress

__all__ = ["check_contrast_circuits", "check_lone_circuits"]

SEED = 14
CONTRAST_SIZE = 30
LONE_SIZE = 200
SIZES = (5, 10, 20, 30, 50, 100, 200)
N_RANDOM = 4


@dataclass(frozen=True)
class _Faithful:
    """Faithfulness of one behaviour's circuits."""

    by_size: dict[int, float]
    random_by_size: dict[int, float]
    all_features: float
    n_differing: int


def check_contrast_circuits(
    host: HostModel, dictionaries: Mapping[Site, SAE], *, n_pairs: int
) -> tuple[list[Measurement], dict[str, Any]]:
    """A third each: a present finding swapped, a denied one swapped, a value moved over its threshold."""
    saes = _residual(dictionaries)
    zeros = {site: zero_dictionary(sae) for site, sae in saes.items()}
    pairs = list(islice(_answerable_pairs(host), n_pairs))
    measured, zero_all = [], []
    for case, contrast in progress(pairs, "contrast circuits", unit="pair"):
        behaviour = describe_behaviour(host, case.prompt, contrast=contrast.prompt)
        measured.append(_measure(host, saes, behaviour))
        zero_all.append(_zero_faithfulness(host, zeros, behaviour))
    at_size = torch.tensor([m.by_size[CONTRAST_SIZE] for m in measured])
    null = torch.tensor([m.random_by_size[CONTRAST_SIZE] for m in measured]).median().item()
    is_negation = torch.tensor([contrast.changed_from in case.case.denied for case, contrast in pairs])
    title = f"circuits: contrast, {CONTRAST_SIZE} features"
    measurements = [
        _quantile(f"{title}, median faithfulness", at_size, 0.5, bar=0.90, null=null),
        _quantile(f"{title}, 10th percentile", at_size, 0.1, bar=0.70, null=null),
        _quantile(f"{title}, median where a denial is swapped", at_size[is_negation], 0.5, null=null),
        _null_measurement(f"circuits: contrast, {CONTRAST_SIZE} random differing features", measured, CONTRAST_SIZE),
        _quantile(
            "circuits: contrast, zero dictionary, all features", torch.tensor(zero_all), 0.5, bar=0.05, at_most=True
        ),
    ]
    return measurements, _details(measured)


def check_lone_circuits(
    host: HostModel, dictionaries: Mapping[Site, SAE], pool: ReferencePool, *, n_prompts: int
) -> tuple[list[Measurement], dict[str, Any]]:
    """Prompts without contrast, against the default baseline: sixteen references."""
    saes = _residual(dictionaries)
    cases = [p.test_case for p in islice(paired_cases(host.tokenizer, seed=SEED + 1), n_prompts)]
    measured = []
    for case in progress(cases, "lone circuits", unit="prompt"):
        behaviour = describe_behaviour(host, case.prompt)
        measured.append(_measure(host, saes, behaviour, pool=pool))
    at_size = torch.tensor([m.by_size[LONE_SIZE] for m in measured])
    null = torch.tensor([m.random_by_size[LONE_SIZE] for m in measured]).median().item()
    title = f"circuits: lone prompt, {LONE_SIZE} features"
    measurements = [
        _quantile(f"{title}, median faithfulness", at_size, 0.5, bar=0.80, null=null),
        _quantile(f"{title}, 10th percentile", at_size, 0.1, null=null),
        _null_measurement(f"circuits: lone prompt, {LONE_SIZE} random differing features", measured, LONE_SIZE),
    ]
    return measurements, _details(measured)


def _residual(dictionaries: Mapping[Site, SAE]) -> dict[Site, SAE]:
    return {site: sae for site, sae in dictionaries.items() if site.kind == "resid_post"}


def _answerable_pairs(host: HostModel) -> Iterator[tuple[TestCase, ContrastPrompt]]:
    """Pairs that the model answers right on both sides: in turn a present, a denied and a measured finding changes."""
    wanted = 0
    for paired in paired_cases(host.tokenizer, seed=SEED):
        case = paired.test_case
        by_kind = [
            [c for c in paired.contrasts if c.changed_from in case.case.present and c.changed_from != c.changed_to],
            [c for c in paired.contrasts if c.changed_from in case.case.denied and c.changed_from != c.changed_to],
            [c for c in paired.contrasts if c.changed_from == c.changed_to],
        ]
        if not by_kind[wanted % 3]:
            continue
        contrast = by_kind[wanted % 3][0]
        gold = [single_token(host.tokenizer, case.answer), single_token(host.tokenizer, contrast.answer)]
        if answers(host, [case.prompt, contrast.prompt]).tolist() == gold:
            wanted += 1
            yield case, contrast


def _baseline(host: HostModel, saes: Mapping[Site, SAE], behaviour: Behaviour, pool: ReferencePool | None) -> Baseline:
    positions = node_positions(host, behaviour)
    if pool is not None:
        return resample_baseline(host, saes, pool.nearest(behaviour.prompt_ids), positions)
    assert behaviour.contrast_ids is not None
    return contrast_baseline(host, saes, behaviour.contrast_ids, positions)


def _measure(
    host: HostModel,
    saes: Mapping[Site, SAE],
    behaviour: Behaviour,
    *,
    pool: ReferencePool | None = None,
) -> _Faithful:
    runs = Runs.record(host, behaviour, saes, _baseline(host, saes, behaviour, pool))
    ranking = Ranking.by_effect(score_nodes(runs))
    own = LONE_SIZE if pool is not None else CONTRAST_SIZE
    circuits = [
        NodeSet({}),
        ALL_FEATURES,
        *(ranking.top(n) for n in SIZES),
        *(ranking.random(own, draw) for draw in range(N_RANDOM)),
    ]
    metrics = masked_metrics(runs, circuits)
    empty, rest = metrics[0], metrics[1:]
    values = faithfulness(rest, empty, runs.clean_metric)
    by_size = dict(zip(SIZES, values[1 : 1 + len(SIZES)].tolist(), strict=True))
    random = values[1 + len(SIZES) :].mean().item()
    return _Faithful(by_size, {own: random}, values[0].item(), len(ranking))


def _zero_faithfulness(host: HostModel, zeros: Mapping[Site, SAE], behaviour: Behaviour) -> float:
    """What a dictionary without features keeps when all of its features are kept."""
    runs = Runs.record(host, behaviour, zeros, _baseline(host, zeros, behaviour, None))
    metrics = masked_metrics(runs, [NodeSet({}), ALL_FEATURES])
    if abs(runs.clean_metric - metrics[0].mean().item()) < MIN_GAP:
        return 0.0
    return faithfulness(metrics[1:], metrics[0], runs.clean_metric)[0].item()


def _quantile(
    name: str,
    values: Float[Tensor, " cases"],
    quantile: float,
    *,
    bar: float | None = None,
    null: float | None = None,
    at_most: bool = False,
) -> Measurement:
    low, high = bootstrap(values, lambda drawn: drawn.quantile(quantile, dim=-1))
    null_name = None if null is None else "random differing features"
    return Measurement(
        name, values.quantile(quantile).item(), len(values), low, high, bar, at_most, null=null, null_name=null_name
    )


def _null_measurement(name: str, measured: list[_Faithful], size: int) -> Measurement:
    return _quantile(name, torch.tensor([m.random_by_size[size] for m in measured]), 0.5, bar=0.05, at_most=True)


def _details(measured: list[_Faithful]) -> dict[str, Any]:
    """Median and 10th percentile by size, the share of all features, and how many features differ."""
    by_size = {n: torch.tensor([m.by_size[n] for m in measured]) for n in SIZES}
    everything = torch.tensor([m.all_features for m in measured])
    return {
        "by_size": {n: {"median": v.median().item(), "p10": v.quantile(0.1).item()} for n, v in by_size.items()},
        "all_features_without_errors": {"median": everything.median().item(), "p10": everything.quantile(0.1).item()},
        "median_differing_features": float(torch.tensor([float(m.n_differing) for m in measured]).median()),
    }
