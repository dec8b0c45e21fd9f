"""The smallest circuit is no larger than the ranking's, keeps what it says, and can spare no node."""

import json

import pytest
import torch
from circuit_cases import behaviour, contrast_runs, resample_runs, saes_at
from click.testing import CliRunner
from tiny_models import random_sae, save_tiny_llama

from circuits.cli import main
from circuits.discovery import discover
from circuits.effects.edge_effects import score_edges
from circuits.effects.ensemble_effects import score_ensemble
from circuits.effects.node_table import NodeTable
from circuits.evaluation.edge_masked_runs import ALL_EDGES, EdgeSet, edge_masked_metrics
from circuits.evaluation.kept_share import bootstrap_interval, faithfulness
from circuits.evaluation.masked_runs import ensemble_metrics, masked_metrics
from circuits.evaluation.orders import complement, ranks_of
from circuits.evaluation.selection import Ranking
from circuits.graph.circuit import Circuit
from circuits.minimal.fewest_edges import edge_metrics, fewest_edges
from circuits.minimal.fewest_nodes import fewest_nodes, smallest_enough
from circuits.minimal.minimising import minimise
from circuits.minimal.requirement import Requirement
from circuits.reopening import node_set, reopen
from circuits.runs import runs as runs_module
from circuits.runs.ensemble import Ensemble
from circuits.runs.node_set import NodeSet
from sae.host.sites import Site


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
    ensemble = Ensemble.lone(make_runs(saes_at("resid_post")))
    return ensemble, Ranking.by_effect(score_ensemble(ensemble).at_places)


def half_of(ensemble, ranking, n: int) -> Requirement:
    """Half of what the strongest `n` nodes keep."""
    found = Requirement.of(ensemble, 0.0)
    return Requirement(ensemble, found.scale, found.of_nodes([ranking.top(n)]).item() / 2)


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
    for wanted in range(12):
        assert smallest_enough(lambda n, wanted=wanted: n >= wanted, 11) == wanted
    assert smallest_enough(lambda n: False, 11) is None


def test_elimination_equals_the_slow_form_where_one_node_goes_at_a_time():
    ensemble, ranking = lone()
    requirement = half_of(ensemble, ranking, 12)
    found = fewest_nodes(requirement, ranking, torch.arange(12))
    assert found.tolist() == slowly_eliminated(requirement, ranking, list(range(12)))


@pytest.mark.parametrize("make_runs", [contrast_runs, resample_runs])
def test_what_is_left_is_enough_and_can_spare_no_node(make_runs):
    ensemble, ranking = lone(make_runs)
    requirement = half_of(ensemble, ranking, 40)
    kept = fewest_nodes(requirement, ranking, torch.arange(40))
    assert 0 < len(kept) <= 40
    assert requirement.of_nodes([ranking.chosen(kept)]).item() > requirement.wanted
    without = [ranking.chosen(kept[kept != rank]) for rank in kept]
    assert (requirement.of_nodes(without) <= requirement.wanted).all()


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


def test_a_contrast_that_is_the_prompt_is_refused():
    runs = contrast_runs(saes_at("resid_post"), behaviour(contrast="w1 w2 w3 w4 w5"))
    with pytest.raises(ValueError, match="faithfulness is undefined"):
        Requirement.of(Ensemble.lone(runs), 0.5)


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


def test_it_is_no_larger_than_its_circuit_and_keeps_what_it_says(folder):
    circuit = Circuit.load(folder / "circuit")
    wanted = 0.9 * circuit.faithfulness.value
    found = minimise(circuit, faithfulness=wanted)
    assert len(found.features) <= len(circuit.features)
    ensemble = reopen(found).ensemble
    metrics = ensemble_metrics(ensemble, [NodeSet({}), node_set(found)])
    share = faithfulness(metrics, metrics[0], ensemble.clean_metrics)[1].item()
    assert share > wanted
    assert found.faithfulness.value == pytest.approx(share, abs=1e-5)
    assert found.provenance["minimised"]["judged_by"] == "value"


def test_a_circuit_that_keeps_too_little_grows_first(folder):
    small = Circuit.load(folder / "circuit").subset(1)
    wanted = 0.9 * Circuit.load(folder / "circuit").faithfulness.value
    assert minimise(small, faithfulness=wanted, nodes_only=True).faithfulness.value > wanted


def test_what_no_circuit_keeps_is_refused(folder):
    with pytest.raises(ValueError, match="is out of reach: the best of the rankings keeps"):
        minimise(folder / "circuit", faithfulness=0.99999)
    with pytest.raises(ValueError, match="faithfulness is 1, expected a share of at least 0 and below 1"):
        minimise(folder / "circuit", faithfulness=1)


def test_the_command_writes_a_circuit(folder, tmp_path):
    args = ["minimise", str(folder / "circuit"), "--faithfulness", "0.05"]
    result = CliRunner().invoke(main, [*args, "--out", str(tmp_path / "a")])
    assert result.exit_code == 0, result.stderr
    assert "features keep more than 0.05" in result.stdout
    result = CliRunner().invoke(main, [*args, "--nodes-only", "--json", "--out", str(tmp_path / "b")])
    found = json.loads(result.stdout)
    assert found["command"] == "circuits minimise"
    assert found["edges"] == []
    assert len(Circuit.load(tmp_path / "b").features) == found["minimised"]["nodes"]
