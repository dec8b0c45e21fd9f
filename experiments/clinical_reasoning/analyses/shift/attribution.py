"""Features by how much they make a probe's verdict depend on the cue: what SHIFT could reach if it knew the cue.

The effect of a feature is its activation times the derivative of the probe's log-odds along what it writes, summed over
tokens; what counts is how far the mean effect differs between the two values of the cue, on balanced data.
"""

from collections.abc import Iterable, Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from circuits.runs.dictionaries import Dictionary, decoder_rows_of
from experiments.clinical_reasoning.analyses.shift.planted_cue import CuedCase
from experiments.clinical_reasoning.analyses.shift.representations import Reading, read_tokens
from sae.host.host import HostModel
from sae.host.sites import Site

__all__ = ["cue_disparities", "largest"]

BATCH_ROWS = 64


def cue_disparities(
    host: HostModel,
    dictionaries: Mapping[Site, Dictionary],
    reading: Reading,
    direction: Float[Tensor, " d_model"],
    cases: Sequence[CuedCase],
) -> dict[Site, Float[Tensor, " d_sae"]]:
    """|mean effect where the cue is 1 - mean effect where it is 0| of every feature up to where the probe reads.

    Args:
        host: The model.
        dictionaries: By site.
        reading: Where the probe reads.
        direction: What its log-odds are the projection on, but for a constant.
        cases: Balanced ones.
    """
    sites = [site for site in dictionaries if site <= reading.site]
    sums = {site: torch.zeros(2, dictionaries[site].d_sae) for site in sites}
    for start in range(0, len(cases), BATCH_ROWS):
        chosen = cases[start : start + BATCH_ROWS]
        batch = host.batch([host.tokenise(case.prompt) for case in chosen]).to(host.device)
        cue = torch.tensor([case.cue for case in chosen])
        for site in sites:
            graph = host.cut_graph(batch, [site], input_sites=[reading.site])
            leaf = graph.leaves[site]
            read = leaf if site == reading.site else graph.inputs[reading.site]
            log_odds = read_tokens(read, batch.node_mask, reading.place) @ direction.to(read)
            [slope] = torch.autograd.grad(log_odds.sum(), [leaf])
            effects = _effects(dictionaries[site], leaf.detach(), slope * batch.node_mask[..., None])
            sums[site].index_add_(0, cue, effects.cpu())
    counts = torch.tensor([sum(case.cue == value for case in cases) for value in (0, 1)])
    return {site: (total / counts[:, None]).diff(dim=0)[0].abs() for site, total in sums.items()}


def _effects(
    dictionary: Dictionary, x: Float[Tensor, "batch seq d_model"], slope: Float[Tensor, "batch seq d_model"]
) -> Float[Tensor, "batch d_sae"]:
    rows = decoder_rows_of(dictionary, torch.arange(dictionary.d_sae))
    return (dictionary.encode(x) * (slope @ rows.T)).sum(1)


def largest(disparities: Mapping[Site, Float[Tensor, " d_sae"]], n: int) -> dict[Site, list[int]]:
    """The `n` features of largest disparity, by site."""
    every: Iterable[tuple[float, Site, int]] = (
        (value, site, feature) for site, row in disparities.items() for feature, value in enumerate(row.tolist())
    )
    found: dict[Site, list[int]] = {site: [] for site in disparities}
    for _, site, feature in sorted(every, key=lambda each: -each[0])[:n]:
        found[site].append(feature)
    return found
