"""What replacing all of a site does: the exact total that the effects of its nodes are held against."""

from functools import partial

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from circuits.runs.passes import in_passes
from circuits.runs.runs import Runs
from sae.host.sites import Site

__all__ = ["effect_of_replacing"]


def effect_of_replacing(runs: Runs, site: Site) -> float:
    """m(clean with the whole site, features and errors, at its baseline) - m(clean), averaged over the references."""

    def change(rows: Int[Tensor, " some"]) -> float:
        batch = runs.batch.repeat(len(rows))
        target = runs.baseline_rows(site)[rows].repeat_interleave(runs.behaviour.rows_per_prompt, dim=0)
        is_node = batch.node_mask[..., None]
        run = runs.host.forward(
            batch,
            {site: partial(_put, target, is_node)},
            logits_to_keep=runs.behaviour.kept_logits,
        )
        return (runs.behaviour.metric(run.logits) - runs.clean_metric).sum().item()

    n_references = runs.baseline.n_references
    return sum(in_passes(n_references, runs.rows_per_pass(), change)) / n_references


def _put(
    target: Float[Tensor, "rows full d_model"],
    is_node: Bool[Tensor, "rows full 1"],
    x: Float[Tensor, "rows full d_model"],
) -> Float[Tensor, "rows full d_model"]:
    return torch.where(is_node, target, x)
