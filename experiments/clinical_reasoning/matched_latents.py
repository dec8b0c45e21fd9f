"""Random latents that are as often and as strongly active as chosen ones: the null of every claim about latents."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from circuits.runs.dictionaries import Dictionary, decoder_rows_of, input_sites_of
from circuits.runs.passes import in_passes
from circuits.workbench import Workbench
from experiments.clinical_reasoning.asked_pairs import rows_per_pass
from sae.host.sites import Site

__all__ = ["LatentStatistics", "latent_statistics", "matched_latents"]

N_NEAREST = 10
"""A twin is drawn from this many latents that are nearest in density and magnitude, unless told otherwise."""


@dataclass(frozen=True)
class LatentStatistics:
    """How latents of one dictionary behave on text.

    Attributes:
        density: Share of tokens at which each is active.
        magnitude: Mean length of what it writes where it is active; 0 of one that never is.
    """

    density: Float[Tensor, " d_sae"]
    magnitude: Float[Tensor, " d_sae"]

    @classmethod
    def of(
        cls, dictionary: Dictionary, active: Float[Tensor, " d_sae"], summed: Float[Tensor, " d_sae"], n_tokens: int
    ) -> "LatentStatistics":
        """From the tokens at which each latent is active, and the sum of its absolute activations."""
        lengths = decoder_rows_of(dictionary, torch.arange(dictionary.d_sae)).norm(dim=1).cpu()
        return cls(active / max(n_tokens, 1), summed / active.clamp(min=1) * lengths)


@torch.no_grad()
def latent_statistics(workbench: Workbench, rows: Sequence[Int[Tensor, " _"]]) -> dict[Site, LatentStatistics]:
    """Density and magnitude of every latent at all tokens of some texts that carry nodes.

    Args:
        workbench: Host and dictionaries.
        rows: Token ids of the texts.
    """
    reads = input_sites_of(workbench.dictionaries)
    active = {site: torch.zeros(each.d_sae) for site, each in workbench.dictionaries.items()}
    summed = {site: torch.zeros(each.d_sae) for site, each in workbench.dictionaries.items()}

    def run(chosen: Int[Tensor, " rows"]) -> int:
        batch = workbench.host.batch([rows[i] for i in chosen.tolist()])
        captured = workbench.host.capture(batch, set(reads.values()))
        for site, dictionary in workbench.dictionaries.items():
            acts = dictionary.encode(captured[reads[site]][batch.node_mask].float()).abs()
            active[site] += (acts > 0).sum(dim=0).cpu()
            summed[site] += acts.sum(dim=0).cpu()
        return int(batch.node_mask.sum())

    n_tokens = sum(in_passes(len(rows), rows_per_pass(rows), run))
    return {
        site: LatentStatistics.of(dictionary, active[site], summed[site], n_tokens)
        for site, dictionary in workbench.dictionaries.items()
    }


def matched_latents(
    statistics: Mapping[Site, LatentStatistics],
    chosen: Mapping[Site, Int[Tensor, " chosen"]],
    *,
    seed: int,
    excluded: Mapping[Site, Int[Tensor, " _"]] | None = None,
    n_nearest: int = N_NEAREST,
) -> dict[Site, Int[Tensor, " chosen"]]:
    """For every chosen latent another one of its site, drawn from those nearest in log density and log magnitude.

    Twins are none of the chosen latents and differ from each other, as far as there are enough; a latent that was
    never active is no twin.

    Args:
        statistics: Of the dictionaries.
        chosen: Latents by site.
        seed: Of the draws.
        excluded: Further latents that may not be drawn.
        n_nearest: How many each is drawn from.

    Raises:
        ValueError: A site has no latent left to draw.
    """
    random = torch.Generator().manual_seed(seed)
    return {
        site: _twins(site, statistics[site], ids, (excluded or {}).get(site, ids), n_nearest, random)
        for site, ids in chosen.items()
    }


def _twins(
    site: Site,
    statistics: LatentStatistics,
    chosen: Int[Tensor, " chosen"],
    excluded: Int[Tensor, " _"],
    n_nearest: int,
    random: torch.Generator,
) -> Int[Tensor, " chosen"]:
    free = statistics.density > 0
    free[chosen] = free[excluded] = False
    twins: list[int] = []
    for latent in chosen.tolist():
        candidates = _nearest(statistics, latent, free, n_nearest)
        if len(candidates) == 0 and not twins:
            raise ValueError(f"no latent of {site} is left to match {latent}, expected some that are active and unused")
        candidates = candidates if len(candidates) else torch.tensor(twins)
        twin = int(candidates[torch.randint(len(candidates), (1,), generator=random)])
        free[twin] = False
        twins.append(twin)
    return torch.tensor(twins, dtype=torch.long)


def _nearest(
    statistics: LatentStatistics, latent: int, free: Bool[Tensor, " d_sae"], n: int
) -> Int[Tensor, " nearest"]:
    """The free latents nearest to one, at most `n`."""
    tiny = 1e-9
    density, magnitude = (x.clamp(min=tiny).log() for x in (statistics.density, statistics.magnitude))
    distance = (density - density[latent]).abs() + (magnitude - magnitude[latent]).abs()
    order = torch.where(free, distance, torch.inf).argsort(stable=True)
    return order[: min(n, int(free.sum()))]
