"""Effects of single nodes, measured: this node alone at its baseline, everything before it clean.

One row of a batch is one node under one reference. A node at a place of several prompts is set at all positions of the
place together. The run starts at the node's site, with the clean stream as its input, so that no earlier layer runs
again.

Source: Marks et al. 2024 (arXiv 2403.19647), equation 1, the effect that attributions estimate.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from circuits.effects.node_table import ERROR
from circuits.graph.node import Node
from circuits.runs.dictionaries import decoder_rows_of
from circuits.runs.ensemble import Ensemble
from circuits.runs.passes import in_passes
from circuits.runs.runs import Runs
from sae.host.sites import Site
from sae.progress import progress

__all__ = ["measure_nodes"]


def measure_nodes(ensemble: Ensemble, nodes: Sequence[Node]) -> Float[Tensor, " nodes"]:
    """m(clean with the node at its baseline) - m(clean) of each node, mean over the references and the prompts.

    Args:
        ensemble: The runs that the nodes belong to.
        nodes: Features and errors, in any order, at the ensemble's places.
    """
    measured = torch.zeros(len(nodes))
    for index, runs in enumerate(progress(ensemble.runs, "measuring nodes")):
        place_of = ensemble.places.of_position[index]
        for site in {node.site: None for node in nodes}:
            here = [i for i, node in enumerate(nodes) if node.site == site]
            places = torch.tensor([nodes[i].position for i in here])
            features = [nodes[i].feature for i in here]
            feature_id = torch.tensor([ERROR if feature is None else feature for feature in features])
            at = (places[:, None] == place_of.cpu()[None]) & runs.at_nodes.cpu()
            measured[here] += _site_effects(
                runs, site, feature_id.to(runs.at_nodes.device), at.to(runs.at_nodes.device)
            )
    return measured / len(ensemble.runs)


def _site_effects(
    runs: Runs, site: Site, feature_id: Int[Tensor, " nodes"], at: Bool[Tensor, "nodes seq"]
) -> Float[Tensor, " nodes"]:
    """Effects of the nodes of one site in one prompt, each at the positions where `at` is true."""
    n_references, n_nodes = runs.baseline.n_references, len(feature_id)
    moved = _moved_features(runs, site, feature_id) * at
    moved_errors = _moved_errors(runs, site) if (feature_id == ERROR).any() else None
    directions = decoder_rows_of(runs.dictionaries[site], feature_id.clamp(min=0))

    def measure(cells: Int[Tensor, " some"]) -> Float[Tensor, " some"]:
        reference, node = cells // n_nodes, cells % n_nodes
        change = moved[reference, node][..., None] * directions[node][:, None]
        if moved_errors is not None:
            of_errors = moved_errors[reference] * at[node][..., None]
            change = torch.where((feature_id[node] == ERROR)[:, None, None], of_errors, change)
        return _effect_of_changes(runs, site, change).cpu()

    measured = torch.cat(in_passes(n_references * n_nodes, runs.rows_per_pass(), measure))
    return measured.view(n_references, n_nodes).mean(dim=0)


def _moved_features(runs: Runs, site: Site, feature_id: Int[Tensor, " nodes"]) -> Float[Tensor, "references nodes seq"]:
    """How far each feature is from its clean value under each reference; for an error what is found for feature 0."""
    chosen, column = feature_id.clamp(min=0).unique(return_inverse=True)
    moved = runs.baseline.features[site].columns(chosen) - runs.clean_features[site].columns(chosen)
    return moved[..., column].transpose(1, 2)


def _moved_errors(runs: Runs, site: Site) -> Float[Tensor, "references seq d_model"]:
    base = [runs.baseline_error(site, reference) for reference in range(runs.baseline.n_references)]
    return torch.stack(base) - runs.clean_error(site)


def _effect_of_changes(runs: Runs, site: Site, change: Float[Tensor, "rows seq d_model"]) -> Float[Tensor, " rows"]:
    """m(clean with `change` added at the site) - m(clean)."""
    behaviour, n_rows = runs.behaviour, len(change)
    tail = runs.batch.ids.shape[1] - runs.n_positions
    padded = torch.nn.functional.pad(change, (0, 0, 0, tail)).repeat_interleave(behaviour.rows_per_prompt, dim=0)
    before = runs.clean.get(Site("resid_post", site.layer - 1)) if site.layer else None
    logits = runs.host.forward_from(
        runs.batch.repeat(n_rows),
        site,
        runs.clean[site].repeat(n_rows, 1, 1) + padded,
        layer_input=None if before is None else before.repeat(n_rows, 1, 1),
        logits_to_keep=behaviour.kept_logits,
    )
    return behaviour.metric(logits) - runs.clean_metric
