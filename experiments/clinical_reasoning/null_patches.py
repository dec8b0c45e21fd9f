"""Patches that should do nothing, if what is claimed of the chosen latents is true."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from jaxtyping import Int
from torch import Tensor

from experiments.clinical_reasoning.attributed_latents import Latent
from experiments.clinical_reasoning.matched_latents import LatentStatistics, matched_latents
from experiments.clinical_reasoning.patching import Patch
from sae.host.sites import Site

__all__ = ["misplaced", "pushed_along_twins", "random_latents", "twins_of"]


def random_latents(candidates: Sequence[Latent], n: int, *, seed: int) -> list[Latent]:
    """As many latents drawn from some, such as those that differ between the runs; all where there are no more."""
    pool = sorted(candidates)
    return random.Random(seed).sample(pool, min(n, len(pool)))


def twins_of(latents: Sequence[Latent], statistics: Mapping[Site, LatentStatistics], *, seed: int) -> list[Latent]:
    """For each latent another of equal density and magnitude at its site."""
    ids = {site: torch.tensor([f for at, f in latents if at == site]) for site in dict.fromkeys(s for s, _ in latents)}
    found = {site: iter(twins.tolist()) for site, twins in matched_latents(statistics, ids, seed=seed).items()}
    return [(site, next(found[site])) for site, _ in latents]


def pushed_along_twins(patch: Patch, latents: Sequence[Latent], twins: Sequence[Latent]) -> Patch:
    """The same changes, as long as before, along the directions of the twins.

    Args:
        patch: Moves of `latents`.
        latents: What is moved.
        twins: One of the same site for each.
    """
    twin_of = dict(zip(latents, twins, strict=True))
    return {
        site: replace(moves, along=torch.tensor([twin_of[site, feature][1] for feature in moves.feature_id.tolist()]))
        for site, moves in patch.items()
    }


def misplaced(patch: Patch, places: Int[Tensor, " places"], *, seed: int) -> Patch:
    """The same changes at other positions: each position goes to another one, drawn from `places`.

    Where a patch moves nodes at all of `places`, these are permuted; else the places that it does not touch are drawn.
    A position that has no other to go to keeps its place.
    """
    generator = torch.Generator().manual_seed(seed)
    used = torch.cat([moves.position for moves in patch.values()]).unique() if patch else places[:0]
    free = places[~torch.isin(places, used)]
    if len(free):
        drawn = torch.randint(len(free), (len(used),), generator=generator)
        target = dict(zip(used.tolist(), free[drawn].tolist(), strict=True))
    else:
        order = used[torch.randperm(len(used), generator=generator)].tolist()
        target = dict(zip(order, [*order[1:], *order[:1]], strict=True))
    return {
        site: replace(moves, at=torch.tensor([target[p] for p in moves.position.tolist()], dtype=torch.long))
        for site, moves in patch.items()
    }
