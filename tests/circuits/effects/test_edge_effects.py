"""Block-local edges against one pairwise pass of the model per edge type, with stop-gradients in between."""

import pytest
import torch
from circuit_cases import contrast_runs, host, resample_runs, saes_at

from circuits.effects.edge_effects import ERROR, NodeTable, score_edges
from circuits.effects.node_effects import score_nodes
from circuits.runs.runs import Runs
from experiments.benchmarks.pairwise_edges import pairwise_effects
from sae.host.sites import Site

KINDS = ("embed", "attn_out", "mlp_out", "resid_post")


def all_nodes(runs: Runs, effects, n: int) -> dict[Site, NodeTable]:
    """The n strongest features of each site and all of its errors."""
    tables = {}
    for site, scored in effects.items():
        top = scored.indirect_effect.abs().topk(min(n, len(scored.indirect_effect))).indices
        positions = runs.at_nodes.nonzero()[:, 0]
        tables[site] = NodeTable(
            torch.cat([scored.position[top], positions]),
            torch.cat([scored.feature_id[top], torch.full_like(positions, ERROR)]),
        )
    return tables


def oracle_edges(runs: Runs, effects, tables, source: Site, target: Site, stops: list[Site]):
    return pairwise_effects(host()._model, runs, effects, tables, source, target, stops)


EDGE_TYPES = [
    ("resid_post.0", "attn_out.1", []),
    ("resid_post.0", "mlp_out.1", ["attn_out.1"]),
    ("resid_post.0", "resid_post.1", ["attn_out.1", "mlp_out.1"]),
    ("attn_out.1", "mlp_out.1", []),
    ("attn_out.1", "resid_post.1", ["mlp_out.1"]),
    ("mlp_out.1", "resid_post.1", []),
    ("embed", "attn_out.0", []),
    ("embed", "resid_post.0", ["attn_out.0", "mlp_out.0"]),
]


@pytest.fixture(scope="module", params=["contrast", "resample"])
def everything(request):
    runs = (contrast_runs if request.param == "contrast" else resample_runs)(saes_at(*KINDS))
    effects = score_nodes(runs)
    tables = all_nodes(runs, effects, 6)
    return runs, effects, tables, score_edges(runs, effects, tables)


@pytest.mark.parametrize(("source", "target", "stops"), EDGE_TYPES)
def test_edges_equal_the_pairwise_stop_gradient_form(everything, source, target, stops):
    runs, effects, tables, edges = everything
    source, target, stops = Site.parse(source), Site.parse(target), [Site.parse(s) for s in stops]
    expected = oracle_edges(runs, effects, tables, source, target, stops)
    found = torch.zeros_like(expected)
    index = {
        site: {node: i for i, node in enumerate(zip(t.position.tolist(), t.feature_id.tolist(), strict=True))}
        for site, t in tables.items()
    }
    for edge in edges:
        if edge.source[0] == source and edge.target[0] == target:
            found[index[target][edge.target[1:]], index[source][edge.source[1:]]] = edge.effect
    assert expected.abs().max() > 1e-4
    torch.testing.assert_close(found, expected, atol=2e-5, rtol=1e-4)


def test_with_residual_sites_only_an_edge_crosses_the_whole_layer():
    runs = contrast_runs(saes_at("resid_post"))
    effects = score_nodes(runs)
    tables = all_nodes(runs, effects, 6)
    first, second = runs.sites[:2]
    expected = oracle_edges(runs, effects, tables, first, second, [])
    total = sum(e.effect for e in score_edges(runs, effects, tables) if (e.source[0], e.target[0]) == (first, second))
    assert total == pytest.approx(expected.sum().item(), abs=1e-4)


def test_where_the_block_is_linear_the_edges_into_a_node_sum_to_its_effect():
    """Into resid_post from the three sites before it: attn_out, mlp_out and the stream just add up."""
    runs = contrast_runs(saes_at(*KINDS))
    effects = score_nodes(runs)
    target = Site.parse("resid_post.1")
    scored = effects[target]
    tables = {}
    for site in runs.sites:
        keep = effects[site]
        positions = runs.at_nodes.nonzero()[:, 0]
        tables[site] = NodeTable(
            torch.cat([keep.position, positions]), torch.cat([keep.feature_id, torch.full_like(positions, ERROR)])
        )
    edges = [e for e in score_edges(runs, effects, tables) if e.target[0] == target and e.source[0].kind != "embed"]
    for position, feature, effect in zip(scored.position, scored.feature_id, scored.indirect_effect, strict=True):
        incoming = sum(e.effect for e in edges if e.target[1:] == (position.item(), feature.item()))
        assert incoming == pytest.approx(effect.item(), abs=1e-4)


def test_a_threshold_drops_weak_edges(everything):
    runs, effects, tables, edges = everything
    threshold = edges[10].effect
    kept = score_edges(runs, effects, tables, threshold=abs(threshold))
    assert [e.effect for e in kept] == [e.effect for e in edges[: len(kept)]]
    assert len(kept) == 10
