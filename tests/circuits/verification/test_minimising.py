"""The smallest circuit is no larger than the ranking's, keeps what it says, and can spare no node."""

import json
from dataclasses import replace

import pytest
import torch
from circuit_cases import behaviour, contrast_runs, host, resample_runs, saes_at
from tiny_models import random_sae, save_tiny_llama

from circuits.discovery import discover
from circuits.effects.edge_effects import score_edges
from circuits.effects.ensemble_effects import ensemble_edges, score_ensemble
from circuits.effects.node_table import NodeTable
from circuits.evaluation.edge_masked_runs import ALL_EDGES, EdgeSet, edge_masked_metrics
from circuits.evaluation.kept_share import bootstrap_interval, faithfulness
from circuits.evaluation.masked_runs import ensemble_metrics, masked_metrics
from circuits.evaluation.orders import complement, leading_first, ranks_of
from circuits.evaluation.selection import Ranking
from circuits.graph.circuit import Circuit
from circuits.reopening import node_set, reopen
from circuits.runs import runs as runs_module
from circuits.runs.baselines import contrast_baseline
from circuits.runs.ensemble import Ensemble
from circuits.runs.node_set import NodeSet
from circuits.runs.places import span_places
from circuits.runs.runs import Runs, node_positions
from circuits.verification.fewest_edges import edge_metrics, fewest_edges
from circuits.verification.fewest_nodes import fewest_nodes
from circuits.verification.minimising import minimise
from circuits.verification.requirement import Requirement
from circuits.verification.starting_nodes import smallest_enough, starting_nodes
from circuits.verification.without_each import metrics_without_each
from sae.host.sites import Site

WANTED = 0.05
"""The random model keeps little without its errors: no set of its features reaches 0.1."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny")
    model = save_tiny_llama(folder / "model")
    for layer in range(2):
        site = Site("resid_post", layer)
        random_sae(32, 64, site, seed=layer).save(folder / "saes" / str(site))
    options = {"model": str(model), "saes": str(folder / "saes"), "top_k": 12}
    discover("w1 w2 w3 w4 w5", contrast="w1 w2 w7 w4 w5", foil="w9", **options).save(folder / "circuit")
    return folder


def lone(make_runs=contrast_runs):
    """Runs with a dictionary at the last site, where features alone keep much; ranked by what leads to the model."""
    last = max(saes_at("resid_post"))
    ensemble = Ensemble.lone(make_runs({last: saes_at("resid_post")[last]}))
    ranking = Ranking.by_effect(score_ensemble(ensemble).at_places)
    return ensemble, leading_first(ranking, Requirement.of(ensemble, 0.0).scale.gap)


def half_of(ensemble, ranking, n: int) -> Requirement:
    """Half of what the first `n` nodes keep."""
    found = Requirement.of(ensemble, 0.0)
    share = found.of_nodes([ranking.top(n)]).item()
    assert share > 0
    return Requirement(ensemble, found.scale, share / 2)


def slowly_eliminated(requirement: Requirement, ranking: Ranking, ranks: list[int]) -> list[int]:
    """One node at a time, one run at a time."""
    while ranks:
        left = [[other for other in ranks if other != rank] for rank in reversed(ranks)]
        shares = [round(requirement.of_nodes([ranking.chosen(torch.tensor(some))]).item(), 4) for some in left]
        best = left[shares.index(max(shares))]
        if requirement.of_nodes([ranking.chosen(torch.tensor(best))]).item() <= requirement.wanted:
            return ranks
        ranks = best
    return ranks


def test_bisection_stops_where_one_less_is_not_enough():
    for wanted in range(1, 12):
        assert smallest_enough(lambda n, wanted=wanted: n >= wanted, 0, 11) == wanted


def test_elimination_equals_the_slow_form_where_one_node_goes_at_a_time():
    ensemble, ranking = lone()
    requirement = half_of(ensemble, ranking, 12)
    found = fewest_nodes(requirement, ranking, torch.arange(12))
    assert found.tolist() == slowly_eliminated(requirement, ranking, list(range(12)))


@pytest.mark.parametrize("make_runs", [contrast_runs, resample_runs])
def test_runs_from_the_site_of_the_missing_node_equal_whole_runs(make_runs):
    kinds = ("embed", "attn_out", "mlp_out", "resid_post")
    assert_without_each_equals_smaller_sets(Ensemble.lone(make_runs(saes_at(*kinds))))
    assert_without_each_equals_smaller_sets(Ensemble.lone(make_runs(saes_at("mlp_out"))))


def test_a_node_of_aligned_prompts_is_left_out_at_its_whole_place():
    runs = contrast_runs(saes_at("resid_post"))
    places = span_places(["a", "b"], [{"a": (1, 3), "b": (3, 6)}] * 2, [runs.n_positions] * 2)
    assert_without_each_equals_smaller_sets(Ensemble((runs, runs), places))


def assert_without_each_equals_smaller_sets(ensemble: Ensemble) -> None:
    ranking = Ranking.by_effect(score_ensemble(ensemble).at_places)
    ranks = torch.arange(0, 60, 3)
    smaller = [ranking.chosen(ranks[ranks != rank]) for rank in ranks]
    found = metrics_without_each(ensemble, ranking, ranks)
    torch.testing.assert_close(found, ensemble_metrics(ensemble, smaller), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("make_runs", [contrast_runs, resample_runs])
def test_what_is_left_is_enough_and_can_spare_no_node(make_runs):
    ensemble, ranking = lone(make_runs)
    requirement = half_of(ensemble, ranking, 40)
    kept = fewest_nodes(requirement, ranking, torch.arange(40))
    assert 0 < len(kept) <= 40
    assert requirement.of_nodes([ranking.chosen(kept)]).item() > requirement.wanted
    without = [ranking.chosen(kept[kept != rank]) for rank in kept]
    assert (requirement.of_nodes(without) <= requirement.wanted + 1e-5).all()


def test_the_size_of_batches_changes_nothing(monkeypatch):
    ensemble, ranking = lone(resample_runs)
    requirement = half_of(ensemble, ranking, 24)
    whole = fewest_nodes(requirement, ranking, torch.arange(24))
    monkeypatch.setattr(runs_module, "TOKENS_PER_PASS", 18)
    assert torch.equal(fewest_nodes(requirement, ranking, torch.arange(24)), whole)


def test_several_units_are_held_to_the_lower_end_and_one_to_its_value():
    ensemble, ranking = lone(resample_runs)
    requirement = Requirement.of(ensemble, 0.5, seed=3)
    metrics = ensemble_metrics(ensemble, [ranking.top(5)])
    low, _ = bootstrap_interval(metrics[0], requirement.scale.empty, requirement.scale.clean, seed=3)
    assert requirement.of_metrics(metrics).item() == pytest.approx(low, abs=1e-5)
    ensemble, ranking = lone()
    alone = Requirement.of(ensemble, 0.5)
    metrics = ensemble_metrics(ensemble, [ranking.top(5)])
    expected = faithfulness(metrics, alone.scale.empty, alone.scale.clean).item()
    assert requirement.is_interval
    assert not alone.is_interval
    assert alone.of_metrics(metrics).item() == pytest.approx(expected)


def test_a_baseline_that_is_the_prompt_is_refused():
    saes, about = saes_at("resid_post"), behaviour()
    baseline = contrast_baseline(host(), saes, about.prompt_ids, node_positions(host(), about))
    with pytest.raises(ValueError, match="faithfulness is undefined"):
        Requirement.of(Ensemble.lone(Runs.record(host(), about, saes, baseline)), 0.5)


def test_ranks_and_complement_are_each_others_rest():
    _, ranking = lone()
    nodes = ranking.chosen(torch.tensor([4, 1, 9]))
    assert ranks_of(ranking, nodes).tolist() == [1, 4, 9]
    assert len(complement(ranking, nodes)) == len(ranking) - 3
    assert ranks_of(ranking, NodeSet({})).tolist() == []


def test_the_fewest_edges_are_enough_and_the_strongest():
    runs = contrast_runs(saes_at("resid_post"))
    ensemble = Ensemble.lone(runs)
    effects = score_ensemble(ensemble)
    nodes = Ranking.by_effect(effects.at_places).top(12)
    tables = {site: NodeTable(*nodes.nodes[site]) for site in runs.sites if site in nodes.nodes}
    edges = score_edges(runs, effects.per_run[0], tables)
    every = edge_metrics(ensemble, nodes, edges)
    torch.testing.assert_close(every, edge_masked_metrics(runs, [EdgeSet(nodes, ALL_EDGES)])[0], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(every, masked_metrics(runs, [nodes])[0], atol=1e-4, rtol=1e-4)
    found = Requirement.of(ensemble, 0.0)
    share = found.of_metrics(every[None]).item()
    requirement = Requirement(ensemble, found.scale, share - 0.5 * abs(share))
    kept = fewest_edges(requirement, nodes, edges)
    assert kept == sorted(edges, key=lambda edge: -abs(edge.effect))[: len(kept)]
    assert requirement.of_metrics(edge_metrics(ensemble, nodes, kept)[None]).item() > requirement.wanted
    assert fewest_edges(Requirement(ensemble, found.scale, share + 1), nodes, edges) is None


def test_all_edges_of_aligned_prompts_keep_what_their_nodes_keep(folder):
    spans = {"who": [3, 8], "what": [9, 14]}
    records = [
        {"clean_prefix": f"w1 {a} w4 w5", "patch_prefix": f"w1 {b} w4 w5", "spans": spans}
        | {"clean_answer": "w8", "patch_answer": "w9"}
        for a, b in [("w2 w3 w12 w3", "w2 w7 w12 w9"), ("w6 w3 w15 w3", "w6 w7 w15 w9")]
    ]
    (folder / "pairs.jsonl").write_text("\n".join(map(json.dumps, records)))
    options = {"model": str(folder / "model"), "saes": str(folder / "saes"), "top_k": 10, "keep_wrong": True}
    discover(pairs=folder / "pairs.jsonl", **options).save(folder / "paired")
    opened = reopen(Circuit.load(folder / "paired"))
    ensemble, nodes = opened.ensemble, node_set(opened.circuit)
    tables = {site: NodeTable(*nodes.nodes[site]) for site in ensemble.sites if site in nodes.nodes}
    edges = ensemble_edges(ensemble, score_ensemble(ensemble), tables)
    assert edges
    every = edge_metrics(ensemble, nodes, edges)
    torch.testing.assert_close(every, ensemble_metrics(ensemble, [nodes])[0], atol=1e-4, rtol=1e-4)


def test_it_is_no_larger_than_circuit_or_ranking_and_keeps_what_it_says(folder):
    circuit = Circuit.load(folder / "circuit")
    found = minimise(circuit, faithfulness=WANTED)
    ensemble = reopen(found).ensemble
    requirement = Requirement.of(ensemble, WANTED)
    ranking = Ranking.by_effect(score_ensemble(ensemble).at_places)
    sizes = range(1, len(ranking) + 1)
    enough = requirement.of_nodes([ranking.top(n) for n in sizes]) > WANTED
    ranked = next((n for n in sizes if enough[n - 1]), len(ranking))
    assert 0 < len(found.features) <= ranked
    metrics = ensemble_metrics(ensemble, [NodeSet({}), node_set(found)])
    share = faithfulness(metrics, metrics[0], ensemble.clean_metrics)[1].item()
    assert share > WANTED
    assert found.faithfulness.value == pytest.approx(share, abs=1e-5)
    assert found.provenance["minimised"]["judged_by"] == "value"


def test_a_circuit_that_is_minimal_stays_as_it_is(folder):
    once = minimise(folder / "circuit", faithfulness=WANTED, nodes_only=True)
    again = minimise(once, faithfulness=WANTED, nodes_only=True)
    assert len(again.features) <= len(once.features)
    assert minimise(once.subset(1), faithfulness=WANTED, nodes_only=True).faithfulness.value > WANTED


def test_what_was_measured_of_a_node_and_what_the_record_says_of_its_origin_stay(folder):
    circuit = Circuit.load(folder / "circuit")
    measured = replace(circuit, nodes=[replace(node, exact_effect=0.25, label="named") for node in circuit.nodes])
    measured.provenance["contrast_search"] = {"tried": 3}
    found = minimise(measured, faithfulness=WANTED)
    known = {node.id for node in measured.nodes}
    assert all((node.exact_effect == 0.25) == (node.id in known) for node in found.nodes)
    assert any(node.id in known for node in found.nodes)
    assert found.provenance["contrast_search"] == {"tried": 3}


def test_an_empty_circuit_is_where_the_ranking_takes_over(folder):
    empty = replace(Circuit.load(folder / "circuit"), nodes=(), edges=())
    found = minimise(empty, faithfulness=WANTED, nodes_only=True)
    assert found.faithfulness.value > WANTED
    assert found.provenance["minimised"]["from_circuit"] == 0


def test_nodes_that_lead_to_the_model_come_first_whatever_the_sign_of_the_gap():
    _, ranking = lone()
    rising = leading_first(ranking, 2.0).effect
    falling = leading_first(ranking, -2.0).effect
    assert (rising.diff() >= 0).all()
    assert (falling.diff() <= 0).all()


def test_what_is_out_of_reach_is_refused(folder):
    ensemble, ranking = lone()
    requirement = Requirement(ensemble, Requirement.of(ensemble, 0.0).scale, 1e6)
    with pytest.raises(ValueError, match=r"is out of reach: of the circuit and its ranking at .* the best keeps"):
        starting_nodes(requirement, ranking, ranking.top(3))
    with pytest.raises(ValueError, match="expected a share of at least 0 and below 1"):
        minimise(folder / "circuit", faithfulness=1.0)
