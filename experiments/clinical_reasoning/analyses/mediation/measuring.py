"""Effects of moving latents, errors and whole activations of pairs to their values in the changed prompt."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

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
from experiments.clinical_reasoning.latent_labels import label_texts, names_of_answers, names_of_change
from experiments.clinical_reasoning.matched_latents import LatentStatistics, latent_statistics
from experiments.clinical_reasoning.null_patches import misplaced, pushed_along_twins, random_latents, twins_of
from experiments.clinical_reasoning.patching import ERROR, FEATURES, WHOLE, Moves, Patch, moved_metrics
from experiments.clinical_reasoning.subject import Subject
from experiments.clinical_reasoning.vignette_pair import Kind
from sae.host.sites import Site

__all__ = ["PLACES", "SIZES", "measure"]

SIZES = (1, 5, 10, 20, 40)
PLACES = ("finding", "everywhere")
"""The tokens that say what is changed, and all tokens."""

KINDS: Mapping[Kind, tuple[float, int]] = {"finding": (0.6, 4), "denial": (0.2, 8), "value": (0.2, 5)}
"""Of each kind the share of the reported pairs, and how many pairs to choose on there are for each reported one."""

MOST_LABELS = 5
N_EXACT, N_NODES = 20, 20
"""Pairs whose attributions are compared with exact effects; nodes of each, once the largest and once random ones."""


@dataclass(frozen=True)
class _Rankings:
    """Latents of one pair at one place, those that should carry most first."""

    elsewhere: list[Latent] | None
    """Chosen on other pairs; None where too few have its concepts."""
    own: list[Latent]
    """By the pair's own attribution."""
    differing: list[Latent]
    """All that differ, in no order."""

    @property
    def base(self) -> list[Latent]:
        """What nulls are nulls of: the latents chosen on other pairs, where there are such."""
        return self.own if self.elsewhere is None else self.elsewhere


def measure(subject: Subject, *, size: int, seed: int) -> dict[str, Any]:
    """Effects on m = logit(right answer) - logit(changed answer), of `size` pairs of three kinds.

    Raises:
        NothingToAnalyseError: No pair is answered right on both sides.
    """
    bench, broad = subject.workbench, subject.broad
    wanted = {kind: (round(share * size), round(share * size) * times) for kind, (share, times) in KINDS.items()}
    pairs, choice, counts = split_pairs(bench.host, subject.pairs, wanted, seed=seed)
    if not pairs:
        raise NothingToAnalyseError(f"none of the pairs is answered right on both sides, expected some: {counts}")
    attributions, of_broad = attribute(bench, [*pairs, *choice], broad)
    rankings = _rankings(pairs, choice, attributions)
    statistics = latent_statistics(bench, [pair.ids for pair in choice or pairs])
    patches = [
        _conditions(pair, rankings[place][i], place, statistics, seed + i)
        for i, pair in enumerate(pairs)
        for place in PLACES
    ]
    effects = _effects(bench, pairs, patches)
    records = [_record(bench, pair, {p: rankings[p][i] for p in PLACES}) for i, pair in enumerate(pairs)]
    for index, of_place in enumerate(effects):
        records[index // len(PLACES)]["effects"][PLACES[index % len(PLACES)]] = of_place
    if broad is not None:
        of_others = _broad_effects(broad, pairs, _rankings(pairs, choice, of_broad))
        for index, of_place in enumerate(of_others):
            records[index // len(PLACES)]["effects"][PLACES[index % len(PLACES)]] |= of_place
    agreement = _agreement(bench, pairs[:N_EXACT], attributions, seed)
    return {"sizes": list(SIZES), "counts": counts, "pairs": records, "agreement": agreement}


def place_positions(pair: AskedPair, place: str) -> Int[Tensor, " places"]:
    """Positions of a place: the tokens of either finding, or all that carry nodes."""
    if place == "finding":
        return torch.cat([pair.mention, pair.changed_mention]).unique()
    return torch.arange(1, len(pair.ids))


def _rankings(
    pairs: Sequence[AskedPair], choice: Sequence[AskedPair], attributions: Sequence[Mapping[Site, Attribution]]
) -> dict[str, list[_Rankings]]:
    found = {}
    for place in PLACES:
        shares = [
            summed_shares(nodes, pair.total_effect, place_positions(pair, place))
            for pair, nodes in zip([*pairs, *choice], attributions, strict=True)
        ]
        with_answers = place == "everywhere"
        chosen = LatentChoice.of(choice, shares[len(pairs) :], with_answers=with_answers)
        found[place] = [
            _Rankings(chosen.ranked(pair, with_answers=with_answers), by_falling_share(own), list(own))
            for pair, own in zip(pairs, shares, strict=False)
        ]
    return found


def _conditions(
    pair: AskedPair, rankings: _Rankings, place: str, statistics: Mapping[Site, LatentStatistics], seed: int
) -> dict[str, list[Patch]]:
    """Patches by name: one for each size, or a single one."""
    positions = place_positions(pair, place)
    base = rankings.base
    sizes: dict[str, list[Patch]] = {"own": [move_latents(rankings.own[:k], positions) for k in SIZES]}
    sizes["random"] = [move_latents(random_latents(rankings.differing, k, seed=seed), positions) for k in SIZES]
    moved = [move_latents(base[:k], positions) for k in SIZES]
    if rankings.elsewhere is not None:
        sizes["elsewhere"] = moved
    twins = [twins_of(base[:k], statistics, seed=seed) for k in SIZES]
    sizes["twins"] = [
        pushed_along_twins(patch, base[:k], own) for patch, own, k in zip(moved, twins, SIZES, strict=True)
    ]
    every = torch.arange(1, len(pair.ids))
    sizes["misplaced"] = [misplaced(patch, every, seed=seed) for patch in moved]
    for name, node in (("errors", ERROR), ("features", FEATURES), ("dense", WHOLE)):
        sizes[name] = [{site: Moves.everywhere(positions, torch.tensor([node])) for site in statistics}]
    return sizes


def _effects(
    workbench: Workbench, pairs: Sequence[AskedPair], patches: Sequence[Mapping[str, Sequence[Patch]]]
) -> list[dict[str, list[float]]]:
    """m after each patch less m, in the same shape; there are as many entries for each pair as there are places."""
    of_pair = len(patches) // max(len(pairs), 1)
    flat = [(i // of_pair, p) for i, named in enumerate(patches) for each in named.values() for p in each]
    metrics = iter(moved_metrics(workbench, pairs, flat).tolist())
    return [
        {name: [next(metrics) - pairs[i // of_pair].metric for _ in each] for name, each in named.items()}
        for i, named in enumerate(patches)
    ]


def _broad_effects(
    broad: Workbench, pairs: Sequence[AskedPair], rankings: Mapping[str, Sequence[_Rankings]]
) -> list[dict[str, list[float]]]:
    """The same of latents of other dictionaries, chosen in the same way; no effects where none could be chosen."""
    patches = []
    for i, pair in enumerate(pairs):
        for place in PLACES:
            chosen = rankings[place][i].base
            moved = [move_latents(chosen[:k], place_positions(pair, place)) for k in SIZES] if chosen else []
            patches.append({"broad": moved} if moved else {})
    return _effects(broad, pairs, patches)


def _record(workbench: Workbench, pair: AskedPair, rankings: Mapping[str, _Rankings]) -> dict[str, Any]:
    return {
        "kind": pair.pair.kind,
        "template": pair.pair.template,
        "changed_from": pair.pair.changed_from,
        "changed_to": pair.pair.changed_to,
        "names": {"finding": names_of_change(pair.pair), "answer": names_of_answers(pair.pair)},
        "total_effect": pair.total_effect,
        "n_differing": {place: len(found.differing) for place, found in rankings.items()},
        "labels": {
            place: label_texts(workbench, (found.elsewhere or [])[:MOST_LABELS]) for place, found in rankings.items()
        },
        "effects": {},
    }


def _agreement(
    workbench: Workbench,
    pairs: Sequence[AskedPair],
    attributions: Sequence[Mapping[Site, Attribution]],
    seed: int,
) -> list[dict[str, Any]]:
    """Attribution and exact effect of single nodes: of each pair the largest first, then random other ones."""
    patches: list[tuple[int, Patch]] = []
    records: list[dict[str, Any]] = []
    for index, pair in enumerate(pairs):
        nodes = [
            (site, *node)
            for site, each in attributions[index].items()
            for node in zip(each.position.tolist(), each.feature_id.tolist(), each.effect.tolist(), strict=True)
        ]
        nodes.sort(key=lambda node: -abs(node[3]))
        rest = nodes[N_NODES:]
        order = torch.randperm(len(rest), generator=torch.Generator().manual_seed(seed + index)).tolist()
        chosen = nodes[:N_NODES] + [rest[i] for i in order[:N_NODES]]
        patches += [(index, {site: Moves(torch.tensor([p]), torch.tensor([f]))}) for site, p, f, _ in chosen]
        records.append(
            {
                "template": pair.pair.template,
                "n_largest": min(N_NODES, len(nodes)),
                "attribution": [effect for *_, effect in chosen],
            }
        )
    exact = iter(moved_metrics(workbench, pairs, patches).tolist())
    for record, pair in zip(records, pairs, strict=True):
        record["exact"] = [next(exact) - pair.metric for _ in record["attribution"]]
    return records
