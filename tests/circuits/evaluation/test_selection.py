from dataclasses import replace

import pytest
import torch
from circuit_cases import contrast_runs, resample_runs, saes_at

from circuits.effects.node_effects import score_nodes
from circuits.evaluation.kept_share import faithfulness
from circuits.evaluation.masked_runs import masked_metrics
from circuits.evaluation.scale import Scale
from circuits.evaluation.selection import MAX_NODES, Ranking, select_nodes
from circuits.runs.ensemble import Ensemble
from circuits.runs.node_set import NodeSet


@pytest.fixture(scope="module")
def runs():
    return contrast_runs(saes_at("resid_post"))


@pytest.fixture(scope="module")
def ranking(runs):
    return Ranking.by_effect(score_nodes(runs))


def test_nodes_are_ranked_by_absolute_effect(ranking):
    assert (ranking.effect.abs().diff() <= 0).all()
    assert len(ranking.top(5)) == 5
    assert len(ranking.top(10_000)) == len(ranking)


def test_top_k_keeps_as_many(runs, ranking):
    selection = select_nodes(Ensemble.lone(runs), ranking, top_k=7)
    metrics = masked_metrics(runs, [NodeSet({}), ranking.top(7)])
    assert selection.n_nodes == 7
    assert selection.value == pytest.approx(faithfulness(metrics, metrics[0], runs.clean_metric)[1].item(), abs=1e-4)


def test_a_threshold_keeps_what_reaches_it(runs, ranking):
    threshold = ranking.effect.abs()[4].item()
    assert select_nodes(Ensemble.lone(runs), ranking, node_threshold=threshold).n_nodes == 5
    assert select_nodes(Ensemble.lone(runs), ranking, node_threshold=1e6).n_nodes == 0


def test_an_empty_circuit_keeps_nothing(runs, ranking):
    selection = select_nodes(Ensemble.lone(runs), ranking, node_threshold=1e6)
    assert selection.value == pytest.approx(0.0, abs=1e-6)
    assert selection.null == pytest.approx(0.0, abs=1e-6)


def test_wanted_faithfulness_takes_the_smallest_measured_size_that_reaches_it(runs, ranking):
    selection = select_nodes(Ensemble.lone(runs), ranking, wanted_faithfulness=0.5)
    reached = [n for n, value in selection.curve.items() if value >= 0.5]
    assert selection.n_nodes == min(reached)
    assert selection.value >= 0.5


def test_what_cannot_be_reached_gives_the_smallest_that_keeps_about_as_much_as_any(runs, ranking):
    selection = select_nodes(Ensemble.lone(runs), ranking, wanted_faithfulness=1e9)
    best = max(value for n, value in selection.curve.items() if n <= MAX_NODES)
    assert selection.value >= 0.99 * best
    assert all(value < 0.99 * best for n, value in selection.curve.items() if n < selection.n_nodes)


def test_random_circuits_are_drawn_from_the_nodes_that_differ(ranking):
    drawn = ranking.random(20, seed=3)
    all_nodes = {
        (site, p, f)
        for site, (ps, fs) in ranking.top(len(ranking)).nodes.items()
        for p, f in zip(ps.tolist(), fs.tolist(), strict=True)
    }
    nodes = {
        (site, p, f) for site, (ps, fs) in drawn.nodes.items() for p, f in zip(ps.tolist(), fs.tolist(), strict=True)
    }
    assert len(nodes) == 20
    assert nodes <= all_nodes
    assert not torch.equal(ranking.random(20, seed=4).nodes[ranking.sites[0]][1], drawn.nodes[ranking.sites[0]][1])


def test_a_withheld_share_leaves_the_search_and_says_why():
    """The references disagree on the sign of the gap: a size is found by the mean metric, and no share is said."""
    runs = resample_runs(saes_at("resid_post"))
    empty = masked_metrics(runs, [NodeSet({})])[0]
    unsure = replace(runs, clean_metric=empty.mean().item() + 0.05 * empty.std().item())
    selection = select_nodes(Ensemble.lone(unsure), Ranking.by_effect(score_nodes(unsure)), wanted_faithfulness=0.5)
    assert selection.n_nodes >= 1
    assert "small against its spread" in selection.reason
    shares = (selection.value, selection.low, selection.high, selection.null, selection.share_kept_without_errors)
    assert shares == (None,) * 5
    assert selection.curve == {}
    scale = Scale.of(Ensemble.lone(unsure), empty)
    assert scale.estimate(empty[None]).reason == selection.reason
