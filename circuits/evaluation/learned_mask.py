"""Which nodes a circuit keeps, learned: a mask over all nodes that differ, trained under the run it is judged by.

Attribution asks what the model loses without one node; a small circuit needs nodes that carry the behaviour together.
Every node gets a logit s, and a masked run keeps the share sigmoid(sharpness * s) of it; the sharpness grows as
training goes on, until every node is kept or is not. Adam minimises, over all s at once,

    shortfall ^ 2 + price * sum of the shares,    shortfall = max(0, goal - F(mask)),

under the masked run of `masked_runs.py`: kept features are recomputed on the current stream, everything else, the
errors too, is at its baseline. The logits rank the nodes: the last that the mask would give up comes first.

Source: continuous sparsification, Savarese et al. 2020 (arXiv 1912.04427). Differs from it: one logit a node of a
circuit in place of one a weight, a goal that ends the pull towards more nodes, and a start that leans on attribution.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from circuits.effects.node_effects import RankedEffects
from circuits.evaluation.kept_share import MIN_GAP
from circuits.evaluation.masked_runs import ensemble_metrics, kept_edit
from circuits.runs.ensemble import Ensemble
from circuits.runs.node_set import NodeSet
from circuits.runs.runs import Runs
from sae.host.reading_edits import host_edits
from sae.host.sites import Site
from sae.progress import progress

__all__ = ["MaskTraining", "learn_mask"]

MOST_REFERENCES = 4
"""Baselines of a prompt that one step looks at."""

MOST_PROMPTS = 8
"""Prompts that one step looks at."""


@dataclass(frozen=True)
class MaskTraining:
    """How a mask is trained."""

    steps: int = 150
    learning_rate: float = 0.1
    """Of the logits; they start between -1 and 1."""
    price: float = 0.003
    """What one node costs, in squared shortfall."""
    sharpness: float = 50.0
    """Slope of the shares at the end; it grows from 1 by the same factor each step."""


@dataclass(frozen=True)
class _Slots:
    """Where the nodes of one site stand in one prompt: node i of the mask at a position, in a column of features."""

    feature_ids: Int[Tensor, " chosen"]
    node: Int[Tensor, " entries"]
    position: Int[Tensor, " entries"]
    column: Int[Tensor, " entries"]


def learn_mask(
    ensemble: Ensemble,
    effects: Mapping[Site, RankedEffects],
    *,
    goal: float = 1.0,
    training: MaskTraining | None = None,
    seed: int = 0,
) -> dict[Site, Float[Tensor, " nodes"]]:
    """Train one mask over the nodes at an ensemble's places.

    Args:
        ensemble: One prompt or several aligned ones, which share the mask.
        effects: The nodes, and their effects, from which training starts.
        goal: Faithfulness beyond which more nodes bring nothing, 0 to 1.
        training: Steps, rates and the price of a node.
        seed: Of the choice of references and prompts in each step.

    Returns:
        A logit for each node; above 0 it is kept.

    Raises:
        ValueError: Model and baseline do not differ in the metric, so that nothing can be kept.
    """
    training = training or MaskTraining()
    gap = _gap(ensemble)
    logits = _start(effects)
    optimiser = torch.optim.Adam(logits.values(), lr=training.learning_rate)
    slots = [_slots_of(ensemble, index, effects) for index in range(len(ensemble.runs))]
    generator = torch.Generator().manual_seed(seed)
    for step in progress(range(training.steps), "learning the mask"):
        sharpness = training.sharpness ** (step / max(1, training.steps - 1))
        shares = {site: torch.sigmoid(sharpness * logit) for site, logit in logits.items()}
        size = torch.stack([share.sum() for share in shares.values()]).sum()
        drawn = torch.randperm(len(ensemble.runs), generator=generator)[:MOST_PROMPTS].tolist()
        lost = [_lost_metric(ensemble.runs[i], slots[i], shares, generator) for i in drawn]
        shortfall = (torch.stack(lost) / gap - (1 - goal)).clamp(min=0)
        optimiser.zero_grad()
        (shortfall.square().mean() + training.price * size).backward()
        optimiser.step()
    return {site: logit.detach() for site, logit in logits.items()}


def _gap(ensemble: Ensemble) -> float:
    empty = ensemble_metrics(ensemble, [NodeSet({})]).mean().item()
    gap = ensemble.clean_metric - empty
    if abs(gap) < MIN_GAP:
        raise ValueError(
            f"the metric is {ensemble.clean_metric:.4f} for the model and {empty:.4f} for its baseline: there is "
            "nothing for a mask to keep; choose a contrast or references that change the answer"
        )
    return gap


def _start(effects: Mapping[Site, RankedEffects]) -> dict[Site, Float[Tensor, " nodes"]]:
    """Logits from 1 at the strongest node down to -1 from the hundredth on: most nodes begin half kept or less."""
    strength = torch.cat([scored.indirect_effect.abs() for scored in effects.values()])
    rank = strength.argsort(descending=True).argsort()
    start = 1 - rank.clamp(max=100) / 50
    parts = start.split([len(scored.position) for scored in effects.values()])
    return {site: part.clone().requires_grad_(True) for site, part in zip(effects, parts, strict=True)}


def _slots_of(ensemble: Ensemble, index: int, effects: Mapping[Site, RankedEffects]) -> dict[Site, _Slots]:
    """Each node at every position of its place that may carry nodes."""
    runs, place_of = ensemble.runs[index], ensemble.places.of_position[index]
    slots = {}
    for site, scored in effects.items():
        here = scored.position[:, None] == place_of.to(scored.position)[None]
        node, position = (here & runs.at_nodes[None]).nonzero(as_tuple=True)
        feature_ids, column = scored.feature_id[node].unique(return_inverse=True)
        slots[site] = _Slots(feature_ids, node, position, column)
    return slots


def _lost_metric(
    runs: Runs, slots: Mapping[Site, _Slots], shares: Mapping[Site, Float[Tensor, " nodes"]], generator: torch.Generator
) -> Float[Tensor, ""]:
    """m of the model less m under the mask, mean over some references, with its graph."""
    references = torch.randperm(runs.baseline.n_references, generator=generator)[:MOST_REFERENCES]
    references = references.to(runs.batch.ids.device)
    batch = runs.batch.repeat(len(references))
    edits = {}
    for site, slot in slots.items():
        kept = shares[site].new_zeros(batch.ids.shape[1], len(slot.feature_ids))
        kept = kept.index_put((slot.position, slot.column), shares[site][slot.node])
        cells = kept.expand(len(references), -1, -1)
        edits[site] = kept_edit(runs, site, slot.feature_ids, cells, references, batch.node_mask)
    logits = runs.host.forward_with_graph(
        batch, host_edits(edits, runs.input_sites), logits_to_keep=runs.behaviour.kept_logits
    )
    return runs.clean_metric - runs.behaviour.metric(logits).mean()
