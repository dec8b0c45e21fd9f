"""How long edges take beside one pass of the model for each pair of sites.

Run it as `python -m experiments.benchmarks.edge_speed`. Random weights: 12 layers of width 256, 4096 features at every
attention output, MLP output and residual site, 40 nodes a site. Nothing is timed unless both forms agree in float64;
how far float32 takes them apart is printed beside. Both give one table of effects for each pair of sites; listing the
edges one by one, strongest first, and measuring them besides are timed apart. It prints a JSON object and adds a row to
`results/edge_speed.csv`.
"""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from unittest.mock import patch

import torch
from torch import nn
from transformers.models.llama.modeling_llama import LlamaRMSNorm

from circuits.effects.edge_effects import ERROR, NodeTable, edge_effects, score_edges
from circuits.effects.node_effects import NodeEffects, score_nodes
from circuits.prompts.behaviour import describe_behaviour
from circuits.runs.baselines import contrast_baseline
from circuits.runs.runs import Runs, node_positions
from circuits.workbench import open_workbench
from experiments.benchmarks.figures import larger_llama, seconds
from experiments.benchmarks.pairwise_edges import pairwise_effects
from experiments.benchmarks.result_files import RESULTS, append_row, machine
from experiments.clinic.case_sampling import paired_cases
from sae.dictionary.autoencoder import SAE
from sae.host.host import HostModel
from sae.host.sites import Site

__all__ = ["agreement", "difference_in_float64", "every_pair", "main", "strongest_nodes"]

N_LAYERS, D_MODEL, D_SAE, NODES_PER_SITE, ERRORS_PER_SITE = 12, 256, 4096, 40, 2
ACTIVE_SHARE = 0.01
REPEATS = 5
TOLERANCE = 1e-5
"""Largest difference in float64 as a share of the strongest edge."""

WANTED_TIMES = 100

Nodes = dict[Site, NodeTable]
PairEffects = dict[tuple[Site, Site], torch.Tensor]
"""By source site and target site, [targets sources]."""


def main(out: Path = RESULTS / "edge_speed.csv") -> None:
    """Gate, measure, print."""
    exact_difference = difference_in_float64()
    if exact_difference > TOLERANCE:
        raise ValueError(
            f"the two forms differ by {exact_difference:.1e} of the strongest edge in float64, expected at most "
            f"{TOLERANCE}; nothing was timed, run tests/circuits/effects/test_edge_effects.py"
        )
    model, runs, effects, nodes = _case(_random_llama())
    found: list[PairEffects] = []
    pairwise = seconds(lambda: found.append(every_pair(model, runs, effects, nodes)))
    forms: dict[str, Callable[[], object]] = {
        "block_local": partial(edge_effects, runs, effects, nodes),
        "block_local_listed": partial(score_edges, runs, effects, nodes),
        "block_local_listed_exact": partial(score_edges, runs, effects, nodes, exact=True),
    }
    times = {name: median(seconds(form) for _ in range(REPEATS)) for name, form in forms.items()}
    row = {
        "n_layers": N_LAYERS,
        "d_model": D_MODEL,
        "d_sae": D_SAE,
        "nodes_per_site": NODES_PER_SITE,
        "tokens": runs.n_positions,
        "edges": sum(effect.numel() for effect in found[0].values()),
        "pairwise": "a forward pass for each pair of sites, a backward pass for each target",
        "pairwise_seconds": round(pairwise, 3),
        **{f"{name}_seconds": round(value, 4) for name, value in times.items()},
        "times_pairwise": round(pairwise / times["block_local"], 1),
        "times_pairwise_listed": round(pairwise / times["block_local_listed"], 1),
        "wanted_times_at_least": WANTED_TIMES,
        "largest_difference_float64": f"{exact_difference:.1e}",
        "largest_difference_float32": f"{agreement(_totals(runs, effects, nodes), found[0]):.1e}",
        **machine(),
    }
    append_row(out, row)
    print(json.dumps(row, indent=1))


def difference_in_float64(n_layers: int = N_LAYERS) -> float:
    """How far the two forms are apart where rounding does not count, as a share of the strongest edge.

    The packages compute in float32 through `Tensor.float`, which means `Tensor.double` here.
    """
    with patch.object(torch.Tensor, "float", torch.Tensor.double):
        model, runs, effects, nodes = _case(_with_double_norms(_random_llama(n_layers).double()))
        return agreement(_totals(runs, effects, nodes), every_pair(model, runs, effects, nodes))


def _totals(runs: Runs, effects: NodeEffects, nodes: Nodes) -> PairEffects:
    return {pair: effect.total for pair, effect in edge_effects(runs, effects, nodes).items()}


def every_pair(model: nn.Module, runs: Runs, effects: NodeEffects, nodes: Nodes) -> PairEffects:
    """The pairwise form of all edges."""
    return {
        (source, target): pairwise_effects(model, runs, effects, nodes, source, target)
        for target in nodes
        for source in runs.host.parents(target, runs.sites)
    }


def agreement(found: PairEffects, expected: PairEffects) -> float:
    """Largest difference between the effects of the same pairs of sites, as a share of the strongest."""
    strongest = max(effect.abs().max().item() for effect in expected.values())
    return max((found[pair] - expected[pair]).abs().max().item() for pair in expected) / strongest


def strongest_nodes(runs: Runs, effects: NodeEffects, n_features: int, n_errors: int) -> Nodes:
    """The strongest features and errors of each site."""
    tables = {}
    for site, scored in effects.items():
        top = scored.indirect_effect.abs().topk(min(n_features, len(scored.indirect_effect))).indices
        errors = scored.error_effect.abs().topk(min(n_errors, int(runs.at_nodes.sum()))).indices
        tables[site] = NodeTable(
            torch.cat([scored.position[top], errors]),
            torch.cat([scored.feature_id[top], torch.full_like(errors, ERROR)]),
        )
    return tables


def _case(model: nn.Module) -> tuple[nn.Module, Runs, NodeEffects, Nodes]:
    runs = _random_runs(model)
    effects = score_nodes(runs, "attribution_patching")
    return model, runs, effects, strongest_nodes(runs, effects, NODES_PER_SITE - ERRORS_PER_SITE, ERRORS_PER_SITE)


def _random_llama(n_layers: int = N_LAYERS) -> nn.Module:
    return larger_llama(len(open_workbench("clinic").host.tokenizer), n_layers=n_layers, d_model=D_MODEL)


def _with_double_norms(model: nn.Module) -> nn.Module:
    """The model with norms that keep float64; those of transformers round to float32 within."""
    for module in list(model.modules()):
        for name, child in module.named_children():
            if isinstance(child, LlamaRMSNorm):
                norm = nn.RMSNorm(child.weight.shape, eps=child.variance_epsilon, dtype=torch.float64)
                norm.weight = child.weight
                setattr(module, name, norm)
    return model


def _random_runs(model: nn.Module) -> Runs:
    tokenizer = open_workbench("clinic").host.tokenizer
    host = HostModel(model, tokenizer, name="random weights")
    pair = next(paired_cases(tokenizer, seed=33))
    behaviour = describe_behaviour(
        host,
        pair.test_case.prompt,
        contrast=pair.contrasts[0].prompt,
        target=pair.test_case.answer,
        foil=pair.contrasts[0].answer,
    )
    assert behaviour.contrast_ids is not None
    sites = [site for site in host.sites if site.layer is not None]
    captured = host.capture(host.batch([behaviour.prompt_ids]), sites)
    saes = {site: _random_sae(site, x[0]) for site, x in captured.items()}
    baseline = contrast_baseline(host, saes, behaviour.contrast_ids, node_positions(host, behaviour))
    return Runs.record(host, behaviour, saes, baseline)


def _random_sae(site: Site, x: torch.Tensor) -> SAE:
    """Random unit directions, of which about one in a hundred is active at each token of `x`."""
    generator = torch.Generator().manual_seed(site.depth)
    rows = torch.nn.functional.normalize(torch.randn(D_SAE, D_MODEL, generator=generator), dim=-1).to(x)
    threshold = torch.full((D_SAE,), (x @ rows.T).quantile(1 - ACTIVE_SHARE, dim=1).mean().item())
    zeros = torch.zeros(D_SAE)
    return SAE(
        encoder_rows=rows, b_enc=zeros, decoder_rows=rows, b_dec=torch.zeros(D_MODEL), threshold=threshold, site=site
    )


if __name__ == "__main__":
    main()
