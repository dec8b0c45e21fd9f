"""Edge-masked runs against node-masked runs and against one pass a node."""

import pytest
import torch
from circuit_cases import behaviour, contrast_runs, resample_runs, saes_at

from circuits.effects.edge_effects import ERROR
from circuits.effects.node_effects import score_nodes
from circuits.evaluation.edge_histories import Histories
from circuits.evaluation.edge_masked_runs import ALL_EDGES, EdgeSet, edge_masked_metrics
from circuits.evaluation.masked_runs import ALL_FEATURES, masked_metrics
from circuits.evaluation.selection import Ranking
from circuits.runs.node_set import NodeSet
from sae.host.sites import Site

KINDS = ("embed", "attn_out", "mlp_out", "resid_post")


def every_feature(runs) -> NodeSet:
    positions = runs.at_nodes.nonzero()[:, 0]
    features = torch.arange(64)
    pair = positions.repeat_interleave(64), features.repeat(len(positions))
    return NodeSet(dict.fromkeys(runs.sites, pair))


def keys_of(nodes: NodeSet) -> list[tuple[Site, int, int]]:
    return [(site, int(p), int(f)) for site, pair in sorted(nodes.nodes.items()) for p, f in zip(*pair, strict=True)]


def possible_edges(runs, nodes: NodeSet):
    keys = keys_of(nodes)
    return [(u, d) for d in keys for u in keys if u[0] in runs.host.parents(d[0], runs.sites)]


def slow_metric(runs, edge_set: EdgeSet, reference: int) -> float:
    """Node by node: the whole model with every site put to what that node sees, and its own site read."""
    keys, is_node = keys_of(edge_set.nodes), runs.at_nodes[:, None]
    now: dict[tuple[Site, int, int], float] = {}

    def base_act(key):
        site, position, feature = key
        return runs.baseline.features[site].columns(torch.tensor([feature]))[reference, position, 0]

    def stream(site, kept):
        x = runs.baseline.activations[site][reference].clone()
        for key in kept:
            if key[0] == site:
                x[key[1]] += (now[key] - base_act(key)) * runs.dictionaries[site].W_dec[key[2]]
        return torch.where(is_node, x, runs.clean[site][0, : runs.n_positions])

    batch = runs.host.batch([runs.behaviour.prompt_ids])
    for key in keys:
        site = key[0]
        kept = [u for u, d in edge_set.edges if d == key]
        held = {s: stream(s, kept) for s in runs.host.parents(site, runs.sites)}
        edits = {s: lambda _, x=x: x[None] for s, x in held.items()}
        x = runs.host.forward(batch, edits, capture=[site]).activations[site][0]
        now[key] = runs.dictionaries[site].encode(x[key[1]])[key[2]]
    held = {site: stream(site, keys) for site in runs.sites}
    edits = {site: lambda _, x=x: x[None] for site, x in held.items()}
    logits = runs.host.forward(batch, edits, logits_to_keep=1).logits
    return runs.behaviour.metric(logits)[0].item()


@pytest.mark.parametrize("make_runs", [contrast_runs, resample_runs])
@pytest.mark.parametrize("kinds", [("resid_post",), ("attn_out", "mlp_out"), KINDS])
def test_edges_equal_one_pass_a_node(make_runs, kinds):
    runs = make_runs(saes_at(*kinds))
    nodes = Ranking.by_effect(score_nodes(runs)).top(14)
    edges = possible_edges(runs, nodes)
    sets = [EdgeSet(nodes, edges[i::2]) for i in range(2)] + [EdgeSet(nodes, edges[:1])]
    assert len(edges) > 5
    for row, edge_set in zip(edge_masked_metrics(runs, sets), sets, strict=True):
        expected = [slow_metric(runs, edge_set, r) for r in range(runs.baseline.n_references)]
        torch.testing.assert_close(row, torch.tensor(expected), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("kinds", [("resid_post",), ("mlp_out", "resid_post"), KINDS])
def test_all_edges_among_all_features_are_the_run_with_all_features(kinds):
    runs = contrast_runs(saes_at(*kinds))
    found = edge_masked_metrics(runs, [EdgeSet(every_feature(runs), ALL_EDGES)])
    torch.testing.assert_close(found, masked_metrics(runs, [ALL_FEATURES]), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("make_runs", [contrast_runs, resample_runs])
@pytest.mark.parametrize("kinds", [("resid_post",), ("attn_out", "mlp_out"), KINDS])
def test_all_edges_among_some_nodes_are_the_node_masked_run(make_runs, kinds):
    runs = make_runs(saes_at(*kinds))
    ranking = Ranking.by_effect(score_nodes(runs))
    some, more = ranking.top(10), ranking.random(25, seed=1)
    listed = EdgeSet(some, possible_edges(runs, some))
    found = edge_masked_metrics(runs, [EdgeSet(some, ALL_EDGES), listed, EdgeSet(more, ALL_EDGES)])
    torch.testing.assert_close(found, masked_metrics(runs, [some, some, more]), atol=1e-4, rtol=1e-4)


def test_all_edges_of_a_multi_token_answer_are_the_node_masked_run():
    runs = contrast_runs(saes_at("resid_post"), behaviour(target="w8 w3", foil="w9"))
    nodes = Ranking.by_effect(score_nodes(runs)).top(6)
    found = edge_masked_metrics(runs, [EdgeSet(nodes, ALL_EDGES)])
    torch.testing.assert_close(found, masked_metrics(runs, [nodes]), atol=1e-4, rtol=1e-4)


def test_no_edges_are_the_baseline():
    """A node that sees only the contrast run has the activation of the contrast run."""
    runs = contrast_runs(saes_at("resid_post"))
    found = edge_masked_metrics(runs, [EdgeSet(every_feature(runs), []), EdgeSet(NodeSet({}), [])])
    torch.testing.assert_close(found, masked_metrics(runs, [NodeSet({})] * 2), atol=1e-4, rtol=1e-4)


def test_residual_sites_form_a_chain():
    """Without the edges into its middle site a chain carries nothing on, whatever the other edges are."""
    runs = contrast_runs(saes_at("resid_post"))
    nodes = every_feature(runs)
    middle, last = runs.sites[1:]
    late = {site: nodes.nodes[site] for site in (middle, last)}
    cut = edge_masked_metrics(runs, [EdgeSet(NodeSet(late), ALL_EDGES)])
    torch.testing.assert_close(cut, masked_metrics(runs, [NodeSet({})]), atol=1e-4, rtol=1e-4)
    whole = edge_masked_metrics(runs, [EdgeSet(nodes, ALL_EDGES)])
    assert abs((whole - cut).item()) > 1e-3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda u, d: (u, (d[0], d[1], ERROR)), "expected features only; drop it"),
        (lambda u, d: ((u[0], u[1], 63 - u[2]), d), "expected nodes of the set; add the node"),
        (lambda u, d: (d, u), "expected a site and one of its parents"),
    ],
)
def test_edges_that_cannot_be_are_refused(change, message):
    runs = contrast_runs(saes_at("resid_post"))
    one = torch.tensor([4])
    nodes = NodeSet(dict.fromkeys(runs.sites[:2], (one, one)))
    u, d = keys_of(nodes)
    with pytest.raises(ValueError, match=message):
        edge_masked_metrics(runs, [EdgeSet(nodes, [change(u, d)])])


def test_edge_sets_measured_together_are_those_measured_alone():
    runs = resample_runs(saes_at("resid_post"))
    nodes = Ranking.by_effect(score_nodes(runs)).top(20)
    edges = possible_edges(runs, nodes)
    sets = [EdgeSet(nodes, edges[:n]) for n in (0, 3, 9, len(edges))]
    together = edge_masked_metrics(runs, [*sets, sets[1]])
    alone = torch.cat([edge_masked_metrics(runs, [each]) for each in (*sets, sets[1])])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)


def test_what_circuits_share_is_found_once_and_what_leads_nowhere_never():
    runs = contrast_runs(saes_at("resid_post"))
    nodes = every_feature(runs)
    first, middle, last = runs.sites
    end = runs.n_positions - 1
    chain = [((first, 1, 5), (middle, 3, 7)), ((middle, 3, 7), (last, end, 2))]
    dead_end = ((first, 1, 6), (middle, 2, 7))
    histories = Histories(runs)
    answer = histories.answered(EdgeSet(nodes, [*chain, dead_end]))
    n_found = len(histories.all)
    assert len(answer) == 64
    assert n_found == 64 + 2
    assert histories.answered(EdgeSet(nodes, chain)) == answer
    assert len(histories.all) == n_found
    assert histories.answered(EdgeSet(nodes, chain[1:])) != answer
    assert len(histories.all) == n_found + 2


def test_a_stream_serves_all_nodes_that_it_looks_the_same_to(monkeypatch):
    """All edges among all features: tokens see the same stream, each up to itself."""
    runs = contrast_runs(saes_at("resid_post"))
    rows = []
    arrivals = runs.host.arrivals

    def counted(batch, held, targets):
        rows.append(len(batch.ids))
        return arrivals(batch, held, targets)

    monkeypatch.setattr(runs.host, "arrivals", counted)
    edge_masked_metrics(runs, [EdgeSet(every_feature(runs), ALL_EDGES)])
    assert rows == [1, 1]
