"""m with the first k latents taken away from a prompt, or put into the changed one, for every k."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from circuits.evaluation.masked_runs import masked_metrics
from circuits.runs.node_set import NodeSet
from circuits.workbench import Workbench
from experiments.clinical_reasoning.analysis import NothingToAnalyseError
from experiments.clinical_reasoning.asked_pairs import AskedPair, split_pairs
from experiments.clinical_reasoning.attributed_latents import (
    Attribution,
    Latent,
    LatentChoice,
    attribute,
    by_falling_share,
    move_latents,
    summed_shares,
)
from experiments.clinical_reasoning.matched_latents import LatentStatistics, latent_statistics
from experiments.clinical_reasoning.null_patches import pushed_along_twins, random_latents, twins_of
from experiments.clinical_reasoning.patching import Patch, moved_metrics
from experiments.clinical_reasoning.subject import Subject
from sae.host.sites import Site

__all__ = ["SIZES", "measure"]

SIZES = (1, 2, 5, 10, 20, 40, 80, 160)
CHOICE_PER_PAIR = 5
DECIMALS = 4
"""Of logits in the record: what lies beyond is rounding of single precision."""

Choices = dict[str, list[Latent]]
"""Rankings of one pair by name: `elsewhere`, `own`, `random`."""


def measure(subject: Subject, *, size: int, seed: int) -> dict[str, Any]:
    """m under every operation, of `size` pairs in which a finding takes another's place.

    Raises:
        NothingToAnalyseError: No pair is answered right on both sides.
    """
    bench, broad = subject.workbench, subject.broad
    pairs, choice, counts = split_pairs(
        bench.host, subject.pairs, {"finding": (size, size * CHOICE_PER_PAIR)}, seed=seed
    )
    if not pairs:
        raise NothingToAnalyseError(f"none of the pairs is answered right on both sides, expected some: {counts}")
    attributions, of_broad = attribute(bench, [*pairs, *choice], broad)
    statistics = latent_statistics(bench, [pair.ids for pair in choice or pairs])
    rankings = _rankings(pairs, choice, attributions, seed)
    records = [
        {
            "template": pair.pair.template,
            "metric": round(pair.metric, DECIMALS),
            "changed_metric": round(pair.changed_metric, DECIMALS),
            "n_differing": len(ranking["random"]),
            "after": {},
        }
        for pair, ranking in zip(pairs, rankings, strict=True)
    ]
    _add(records, _free_runs(bench, pairs, rankings, statistics, seed))
    _add(records, [_held_runs(bench, pair, ranking) for pair, ranking in zip(pairs, rankings, strict=True)])
    if broad is not None:
        others = _rankings(pairs, choice, of_broad, seed)
        named = [{"broad": ranking.get("elsewhere", ranking["own"])} for ranking in others]
        _add(records, _free_runs(broad, pairs, named, None, seed))
        _add(records, [_held_runs(broad, pair, ranking) for pair, ranking in zip(pairs, named, strict=True)])
    return {"sizes": list(SIZES), "counts": counts, "pairs": records}


def _add(records: Sequence[dict[str, Any]], found: Sequence[Mapping[str, Mapping[str, list[float]]]]) -> None:
    """Into each record: operation, name of the latents, m by size."""
    for record, of_pair in zip(records, found, strict=True):
        for operation, by_name in of_pair.items():
            rounded = {name: [round(m, DECIMALS) for m in metrics] for name, metrics in by_name.items()}
            record["after"].setdefault(operation, {}).update(rounded)


def _rankings(
    pairs: Sequence[AskedPair],
    choice: Sequence[AskedPair],
    attributions: Sequence[Mapping[Site, Attribution]],
    seed: int,
) -> list[Choices]:
    """Of each pair latents by falling share, chosen on other cases and on itself, and those that differ at random."""
    shares = [summed_shares(a, pair.total_effect) for a, pair in zip(attributions, [*pairs, *choice], strict=True)]
    chosen = LatentChoice.of(choice, shares[len(pairs) :], with_answers=True)
    found = []
    for i, (pair, own) in enumerate(zip(pairs, shares, strict=False)):
        named: Choices = {"own": by_falling_share(own), "random": random_latents(list(own), len(own), seed=seed + i)}
        elsewhere = chosen.ranked(pair, with_answers=True)
        found.append(named if elsewhere is None else {"elsewhere": elsewhere, **named})
    return found


def _free_runs(
    workbench: Workbench,
    pairs: Sequence[AskedPair],
    rankings: Sequence[Choices],
    statistics: Mapping[Site, LatentStatistics] | None,
    seed: int,
) -> list[dict[str, dict[str, list[float]]]]:
    """Latents moved in either direction or turned off, at all tokens, all else running freely.

    `removed`: in the prompt, to the changed prompt's values. `restored`: in the changed prompt, to the prompt's.
    `zeroed`: in the prompt, to 0. With `statistics` also pushes along the twins of the latents.
    """
    both = [each for pair in pairs for each in (pair, pair.reversed)]
    patches: list[tuple[int, Patch]] = []
    order: list[tuple[int, str, str]] = []
    for i, (pair, ranking) in enumerate(zip(pairs, rankings, strict=True)):
        named = _patches(ranking, _positions(pair), statistics, seed + i)
        for operation in ("removed", "zeroed", "restored"):
            for name, moved in named.items():
                if operation == "zeroed":
                    moved = [{site: replace(m, to_zero=True) for site, m in patch.items()} for patch in moved]
                patches += [(2 * i + (operation == "restored"), patch) for patch in moved]
                order.append((i, operation, name))
    metrics = iter(moved_metrics(workbench, both, patches).tolist())
    found: list[dict[str, dict[str, list[float]]]] = [{} for _ in pairs]
    for i, operation, name in order:
        found[i].setdefault(operation, {})[name] = [next(metrics) for _ in SIZES]
    return found


def _patches(
    ranking: Choices,
    positions: Int[Tensor, " places"],
    statistics: Mapping[Site, LatentStatistics] | None,
    seed: int,
) -> dict[str, list[Patch]]:
    """By name of the latents one patch for each size."""
    named = {name: [move_latents(latents[:k], positions) for k in SIZES] for name, latents in ranking.items()}
    base = ranking.get("elsewhere", ranking.get("own", []))
    if statistics is not None:
        twins = twins_of(base[: SIZES[-1]], statistics, seed=seed)
        named["twins"] = [pushed_along_twins(move_latents(base[:k], positions), base[:k], twins[:k]) for k in SIZES]
    return named


def _held_runs(workbench: Workbench, pair: AskedPair, ranking: Choices) -> dict[str, dict[str, list[float]]]:
    """`held`: the latents alone run as in the prompt; all others and all errors have the changed prompt's values."""
    runs = pair.runs(workbench.host, workbench.dictionaries)
    sets = [_node_set(latents[:k], _positions(pair)) for latents in ranking.values() for k in SIZES]
    metrics = masked_metrics(runs, sets)[:, 0].unflatten(0, (len(ranking), len(SIZES)))
    return {"held": dict(zip(ranking, metrics.tolist(), strict=True))}


def _node_set(latents: Sequence[Latent], positions: Int[Tensor, " places"]) -> NodeSet:
    moved = move_latents(latents, positions)
    return NodeSet({site: (moves.position, moves.feature_id) for site, moves in moved.items()})


def _positions(pair: AskedPair) -> Int[Tensor, " places"]:
    """All tokens that carry nodes."""
    return torch.arange(1, len(pair.ids))
