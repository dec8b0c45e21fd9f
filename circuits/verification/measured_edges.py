"""Effects of single edges, measured: the source alone at its baseline, every other site held clean up to the target.

    effect(u -> d) = <W_dec[d], dm/dx_d> * (f_d[after] - f_d[clean])           for a feature d
    effect(u -> d) = <dm/dx_d, error_d[after] - error_d[clean]>                for an error d

One row of a batch is one edge under one reference: the plain form, which shares nothing with how edges are estimated
but the derivative of m at the target.
"""

from collections.abc import Mapping, Sequence
from functools import partial

import torch
from jaxtyping import Float, Int
from torch import Tensor

from circuits.effects.edge_effects import ERROR
from circuits.effects.ensemble_effects import EnsembleEffects
from circuits.graph.node import Edge, parse_node_id
from circuits.runs.dictionaries import decoder_rows_of
from circuits.runs.ensemble import Ensemble
from circuits.runs.runs import Runs
from sae.host.sites import Site
from sae.progress import progress

__all__ = ["measure_edges"]

Ends = Int[Tensor, "pairs 4"]
"""Source position, source feature, target position and target feature of each pair of nodes."""


def measure_edges(ensemble: Ensemble, effects: EnsembleEffects, edges: Sequence[Edge]) -> Float[Tensor, " edges"]:
    """Measured effect of each edge: summed over the positions of both places, mean over references and prompts.

    Args:
        ensemble: The runs that the edges belong to.
        effects: Of its nodes; the derivatives at the targets are taken from here.
        edges: In any order.
    """
    ends = [(parse_node_id(edge.source), parse_node_id(edge.target)) for edge in edges]
    blocks = {(source[0], target[0]): None for source, target in ends}
    measured = torch.zeros(len(edges))
    for index, runs in enumerate(progress(ensemble.runs, "measuring edges")):
        gradients = {site: scored.gradient for site, scored in effects.per_run[index].items()}
        for block in blocks:
            here = [i for i, (source, target) in enumerate(ends) if (source[0], target[0]) == block]
            edge, pairs = _pairs(ensemble, index, here, [ends[i] for i in here])
            if len(pairs):
                measured.index_add_(0, edge, _pair_effects(runs, block, pairs, gradients[block[1]]))
    return measured / len(ensemble.runs)


def _pairs(
    ensemble: Ensemble,
    index: int,
    edges: Sequence[int],
    ends: Sequence[tuple[tuple[Site, int, int | None], tuple[Site, int, int | None]]],
) -> tuple[Int[Tensor, " pairs"], Ends]:
    """The pairs of nodes of one prompt that each edge between places stands for."""
    place_of, at_nodes = ensemble.places.of_position[index].tolist(), ensemble.runs[index].at_nodes.tolist()

    def positions(place: int) -> list[int]:
        return [p for p, (own, real) in enumerate(zip(place_of, at_nodes, strict=True)) if own == place and real]

    def feature(node: tuple[Site, int, int | None]) -> int:
        return ERROR if node[2] is None else node[2]

    found = [
        (edge, p, feature(source), q, feature(target))
        for edge, (source, target) in zip(edges, ends, strict=True)
        for p in positions(source[1])
        for q in positions(target[1])
    ]
    table = torch.tensor(found, dtype=torch.long).view(-1, 5)
    return table[:, 0], table[:, 1:]


def _pair_effects(
    runs: Runs, block: tuple[Site, Site], pairs: Ends, gradient: Float[Tensor, "seq d_model"]
) -> Float[Tensor, " pairs"]:
    """Measured effects between the nodes of two sites of one prompt."""
    source, target = block
    clean = {site: x[:1, : runs.n_positions] for site, x in runs.clean.items()}
    effect = torch.zeros(len(pairs))
    for reference in range(runs.baseline.n_references):
        change = _source_changes(runs, source, pairs, reference)
        for some in torch.arange(len(pairs)).split(runs.rows_per_pass()):
            ends, n_rows = pairs[some], len(some)
            held = {site: x.repeat(n_rows, 1, 1) for site, x in clean.items() if site in runs.sites and site < target}
            plain = _target_values(runs, target, ends, _arrived(runs, target, held), gradient)
            held[source][torch.arange(n_rows), ends[:, 0]] += change[some]
            moved = _target_values(runs, target, ends, _arrived(runs, target, held), gradient)
            effect[some] += (moved - plain).cpu()
    return effect / runs.baseline.n_references


def _source_changes(runs: Runs, site: Site, pairs: Ends, reference: int) -> Float[Tensor, "pairs d_model"]:
    """What setting each pair's source to its baseline adds to the stream."""
    position, feature_id = pairs[:, 0], pairs[:, 1]
    chosen, column = feature_id.clamp(min=0).unique(return_inverse=True)
    chosen = chosen.to(runs.at_nodes.device)
    moved = runs.baseline.features[site].columns(chosen)[reference] - runs.clean_features[site].columns(chosen)[0]
    directions = decoder_rows_of(runs.dictionaries[site], feature_id.clamp(min=0).to(moved.device))
    change = moved[position, column][:, None] * directions
    is_error = feature_id == ERROR
    if is_error.any():
        of_errors = runs.baseline_error(site, reference) - runs.clean_error(site)
        change[is_error] = of_errors[position[is_error]]
    return change


def _arrived(
    runs: Runs, target: Site, held: Mapping[Site, Float[Tensor, "rows seq d_model"]]
) -> tuple[Float[Tensor, "rows seq d_model"], Float[Tensor, "rows seq d_model"]]:
    """What the target's encoder reads and what arrives at the target, with the sites before it held."""
    read = runs.input_sites[target]
    batch = runs.host.batch([runs.behaviour.prompt_ids]).repeat(len(next(iter(held.values()))))
    edits = {site: partial(_put, x) for site, x in held.items()}
    found = runs.host.forward(batch, edits, capture={read, target}, logits_to_keep=1).activations
    return found[read].float(), found[target].float()


def _put(held: Float[Tensor, "rows seq d_model"], x: Float[Tensor, "rows seq d_model"]) -> Tensor:
    return held


def _target_values(
    runs: Runs,
    site: Site,
    pairs: Ends,
    arrived: tuple[Float[Tensor, "rows seq d_model"], Float[Tensor, "rows seq d_model"]],
    gradient: Float[Tensor, "seq d_model"],
) -> Float[Tensor, " pairs"]:
    """What m makes of each pair's target, up to a constant."""
    dictionary, rows = runs.dictionaries[site], torch.arange(len(pairs))
    position, feature_id = pairs[:, 2], pairs[:, 3]
    read, own = (x[rows, position] for x in arrived)
    along = gradient[position]
    acts = dictionary.encode(read)
    chosen = feature_id.clamp(min=0).to(acts.device)
    of_features = acts[rows, chosen] * (decoder_rows_of(dictionary, chosen) * along).sum(dim=-1)
    of_errors = ((own - dictionary.decode(acts)) * along).sum(dim=-1)
    return torch.where((feature_id == ERROR).to(acts.device), of_errors, of_features)
