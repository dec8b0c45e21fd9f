"""Measured nodes and edges against slow forms; agreement and its degenerate cases."""

from dataclasses import replace

import pytest
import torch
from circuit_cases import behaviour, contrast_runs, host, resample_runs, saes_at

from circuits.effects.edge_effects import NodeTable, score_edges
from circuits.effects.ensemble_effects import score_ensemble
from circuits.effects.node_effects import score_nodes
from circuits.graph.node import Edge, Node
from circuits.runs.ensemble import Ensemble
from circuits.runs.places import span_places, token_places
from circuits.verification.agreement import agreement
from circuits.verification.measured_edges import measure_edges
from circuits.verification.measured_nodes import measure_nodes
from sae.host.sites import Site


def nodes_of(scored, site, n=5) -> list[Node]:
    features = [
        Node(site, int(p), int(f), "t", 0.0, 0.0, e.item())
        for p, f, e in zip(scored.position[:n], scored.feature_id[:n], scored.indirect_effect[:n], strict=True)
    ]
    return [*features, Node(site, 4, None, "t", 0.0, 0.0, scored.error_effect[4].item())]


@pytest.mark.parametrize("make_runs", [contrast_runs, resample_runs])
@pytest.mark.parametrize("kinds", [("resid_post",), ("embed", "attn_out", "mlp_out")])
def test_measured_nodes_equal_the_exact_rule(make_runs, kinds):
    runs = make_runs(saes_at(*kinds))
    exact = score_nodes(runs, "exact")
    nodes = [node for site, scored in exact.items() for node in nodes_of(scored, site)]
    expected = torch.tensor([node.indirect_effect for node in nodes])
    torch.testing.assert_close(measure_nodes(Ensemble.lone(runs), nodes), expected, atol=1e-4, rtol=1e-4)


def test_measured_nodes_of_answers_scored_token_by_token():
    runs = contrast_runs(saes_at("resid_post"), behaviour(target="w8 w3", foil="w9"))
    exact = score_nodes(runs, "exact")
    nodes = [node for site, scored in exact.items() for node in nodes_of(scored, site)]
    expected = torch.tensor([node.indirect_effect for node in nodes])
    torch.testing.assert_close(measure_nodes(Ensemble.lone(runs), nodes), expected, atol=1e-4, rtol=1e-4)


def test_a_node_at_a_place_is_set_at_all_its_positions():
    runs = contrast_runs(saes_at("resid_post"))
    ensemble = Ensemble((runs, runs), span_places(["it"], [{"it": (2, 5)}] * 2, [6, 6]))
    site, sae = next(iter(runs.dictionaries.items()))
    clean, base = (
        features.columns(torch.arange(64))[0] for features in (runs.clean_features[site], runs.baseline.features[site])
    )
    feature = int((base - clean)[2:5].abs().sum(dim=0).argmax())
    change = torch.zeros(6, 32)
    change[2:5] = (base - clean)[2:5, feature, None] * sae.decoder_rows[feature]
    run = host().forward(runs.batch, {site: lambda x: x + change}, logits_to_keep=1)
    expected = runs.behaviour.metric(run.logits)[0].item() - runs.clean_metric
    node = Node(site, 1, feature, "t", 0.0, 0.0, 0.0)
    assert measure_nodes(ensemble, [node]).item() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("make_runs", [contrast_runs, resample_runs])
def test_edges_into_a_site_add_up_where_the_block_is_a_sum(make_runs):
    """Into the error and the features of resid_post from attn_out, mlp_out of its own layer: the identity."""
    runs = make_runs(saes_at("attn_out", "mlp_out", "resid_post"))
    effects = score_ensemble(Ensemble.lone(runs))
    source, target = Site("mlp_out", 1), Site("resid_post", 1)
    scored, sae = effects.per_run[0][source], runs.dictionaries[target]
    at = scored.position == 5
    edges = [
        Edge(f"{source}/{f}@5", f"{target}/{t}@5", 0.0) for f in scored.feature_id[at][:3].tolist() for t in range(9)
    ]
    found = measure_edges(Ensemble.lone(runs), effects, edges)
    gradient = effects.per_run[0][target].gradient[5]
    x = runs.clean[target][0, 5]
    for edge, value in zip(edges, found.tolist(), strict=True):
        f, t = (int(name.split("/")[1].split("@")[0]) for name in (edge.source, edge.target))
        own = torch.tensor([f])
        moved = runs.baseline.features[source].columns(own)[:, 5, 0] - runs.clean_features[source].columns(own)[0, 5, 0]
        shifted = x + moved[:, None] * runs.dictionaries[source].decoder_rows[f]
        change = (sae.encode(shifted)[:, t] - sae.encode(x)[t]).mean()
        assert value == pytest.approx((change * (sae.decoder_rows[t] @ gradient)).item(), abs=1e-4)


def test_all_edges_from_a_node_carry_its_effect_on_the_next_stream():
    """Features and error of a target site together are what the source does to it, as m sees it there."""
    runs = contrast_runs(saes_at("resid_post"))
    ensemble = Ensemble.lone(runs)
    effects = score_ensemble(ensemble)
    source, target = runs.sites[0], runs.sites[1]
    scored = effects.per_run[0][source]
    strongest = int(scored.indirect_effect.abs().argmax())
    p, f = int(scored.position[strongest]), int(scored.feature_id[strongest])
    targets = [*(f"{target}/{t}@5" for t in range(64)), f"{target}/error@5"]
    found = measure_edges(ensemble, effects, [Edge(f"{source}/{f}@{p}", name, 0.0) for name in targets])
    moved = (scored.baseline_activation - scored.activation)[strongest] * runs.dictionaries[source].decoder_rows[f]

    def shift(x):
        x = x.clone()
        x[:, p] += moved
        return x

    after = host().forward(runs.batch, {source: shift}, capture=[target]).activations[target][0, 5]
    expected = (after - runs.clean[target][0, 5]) @ effects.per_run[0][target].gradient[5]
    assert found.sum().item() == pytest.approx(expected.item(), abs=1e-4)


def test_edges_of_several_prompts_are_their_mean_and_those_estimated_as_nothing_are_measured():
    runs = contrast_runs(saes_at("resid_post"))
    lone = Ensemble.lone(runs)
    twice = Ensemble((runs, runs), token_places([runs.behaviour.tokens] * 2))
    source, target = runs.sites[0], runs.sites[1]
    scored = score_ensemble(lone).per_run[0][source]
    strongest = int(scored.indirect_effect.abs().argmax())
    p, f = int(scored.position[strongest]), int(scored.feature_id[strongest])
    edges = [Edge(f"{source}/{f}@{p}", f"{target}/{feature}@5", 0.0) for feature in range(64)]
    expected = measure_edges(lone, score_ensemble(lone), edges)
    torch.testing.assert_close(measure_edges(twice, score_ensemble(twice), edges), expected)
    ends = {
        source: NodeTable(torch.tensor([p]), torch.tensor([f])),
        target: NodeTable(torch.full((64,), 5), torch.arange(64)),
    }
    estimated = {edge.target[2] for edge in score_edges(runs, score_ensemble(lone).per_run[0], ends)}
    assert set(expected.nonzero()[:, 0].tolist()) - estimated


def test_agreement_of_equal_effects_is_perfect():
    effects = torch.tensor([1.0, -2.0, 0.5, 3.0, -0.25])
    found = agreement(effects, 2 * effects)
    assert (found.slope.value, found.slope.low, found.slope.high) == pytest.approx((2.0, 2.0, 2.0))
    assert (found.rank_correlation.value, found.sign_agreement.value) == pytest.approx((1.0, 1.0))
    assert abs(found.rank_correlation.null) < 0.1


def test_agreement_of_opposite_effects_is_none():
    effects = torch.tensor([1.0, 2.0, 0.5, 3.0])
    found = agreement(effects, -effects)
    assert (found.slope.value, found.rank_correlation.value, found.sign_agreement.value) == pytest.approx((-1, -1, 0))


def test_ties_share_their_rank():
    found = agreement(torch.tensor([1.0, 1.0, 2.0, 3.0]), torch.tensor([1.0, 2.0, 3.0, 4.0]))
    assert found.rank_correlation.value == pytest.approx(0.9486833)


def test_agreement_without_spread_is_undefined():
    flat, single = agreement(torch.zeros(3), torch.ones(3)), agreement(torch.ones(1), torch.ones(1))
    assert (flat.slope.value, flat.rank_correlation.value, flat.sign_agreement.value) == (None, None, 0.0)
    assert (single.slope.value, single.slope.low) == (1.0, None)
    assert replace(single, n=0).n == 0
