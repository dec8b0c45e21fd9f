"""Effects at places: sums over positions, means over prompts; one prompt is the plain case."""

import pytest
import torch
from circuit_cases import host, saes_at

from circuits.effects.edge_effects import ERROR, NodeTable, score_edges
from circuits.effects.ensemble_effects import ensemble_edges, score_ensemble
from circuits.effects.node_effects import score_nodes
from circuits.evaluation.kept_share import faithfulness
from circuits.evaluation.masked_runs import ALL_FEATURES, ensemble_metrics, masked_metrics
from circuits.evaluation.selection import Ranking
from circuits.prompts.behaviour import describe_behaviour
from circuits.runs.baselines import contrast_baseline
from circuits.runs.ensemble import Ensemble
from circuits.runs.node_set import NodeSet
from circuits.runs.places import span_places, token_places
from circuits.runs.runs import Runs, node_positions

PAIRS = [
    ("w1 w2 w3 w4 w5", "w1 w2 w7 w4 w5"),
    ("w1 w2 w8 w4 w5", "w1 w2 w6 w4 w5"),
    ("w9 w2 w3 w4 w5", "w9 w2 w7 w4 w5"),
]


def runs_of(clean: str, patch: str) -> Runs:
    about = describe_behaviour(host(), clean, contrast=patch, target="w8", foil="w9")
    saes = saes_at("resid_post")
    baseline = contrast_baseline(host(), saes, about.contrast_ids, node_positions(host(), about))
    return Runs.record(host(), about, saes, baseline)


@pytest.fixture(scope="module")
def by_token():
    runs = tuple(runs_of(*pair) for pair in PAIRS)
    return Ensemble(runs, token_places([each.behaviour.tokens for each in runs]))


@pytest.fixture(scope="module")
def by_span():
    """Two prompts of unequal length, aligned by a span of one token in one and of two in the other."""
    runs = (runs_of("w1 w2 w3 w4", "w1 w2 w7 w4"), runs_of("w1 w2 w3 w6 w5", "w1 w2 w7 w8 w5"))
    return Ensemble(runs, span_places(["it"], [{"it": (3, 4)}, {"it": (3, 5)}], [5, 6]))


def dense(scored, n_positions: int) -> torch.Tensor:
    table = torch.zeros(n_positions, 64)
    table[scored.position, scored.feature_id] = scored.indirect_effect
    return table


def test_a_lone_prompt_keeps_its_effects(by_token):
    runs = by_token.first
    effects = score_ensemble(Ensemble.lone(runs))
    for site, scored in score_nodes(runs).items():
        at_places = effects.at_places[site]
        torch.testing.assert_close(dense(at_places, 6), dense(scored, 6))
        torch.testing.assert_close(at_places.error_effect, scored.error_effect)


def test_effects_are_means_over_prompts(by_token):
    effects = score_ensemble(by_token)
    for site, scored in effects.at_places.items():
        expected = torch.stack([dense(score_nodes(runs)[site], 6) for runs in by_token.runs]).mean(dim=0)
        torch.testing.assert_close(dense(scored, 6), expected)


def test_effects_are_sums_over_a_span(by_span):
    effects = score_ensemble(by_span)
    for site, scored in effects.at_places.items():
        first, second = (dense(score_nodes(runs)[site], runs.n_positions) for runs in by_span.runs)
        torch.testing.assert_close(dense(scored, 4)[1], (first[3] + second[3] + second[4]) / 2)
        torch.testing.assert_close(scored.error_effect.shape, torch.Size([4]))


def test_edges_sum_over_positions_and_average_over_prompts(by_span):
    effects = score_ensemble(by_span)
    tables = {}
    for site, scored in effects.at_places.items():
        top = scored.indirect_effect.abs().topk(5).indices
        places = torch.tensor([1, 3])
        tables[site] = NodeTable(
            torch.cat([scored.position[top], places]),
            torch.cat([scored.feature_id[top], torch.full_like(places, ERROR)]),
        )
    found = {(edge.source, edge.target): edge.effect for edge in ensemble_edges(by_span, effects, tables)}
    expected: dict[tuple, float] = {}
    for index, runs in enumerate(by_span.runs):
        place = by_span.places.of_position[index].tolist()
        own = {}
        for site, table in tables.items():
            pairs = [(p, f) for t, f in zip(table.position.tolist(), table.feature_id.tolist(), strict=True)
                     for p in range(runs.n_positions) if place[p] == t and runs.at_nodes[p]]  # fmt: skip
            own[site] = NodeTable(*(torch.tensor(column) for column in zip(*pairs, strict=True)))
        for edge in score_edges(runs, effects.per_run[index], own):
            (up, p, u), (down, q, d) = edge.source, edge.target
            key = (up, place[p], u), (down, place[q], d)
            expected[key] = expected.get(key, 0.0) + edge.effect / 2
    assert found.keys() == {key for key, value in expected.items() if value}
    for key, value in found.items():
        assert value == pytest.approx(expected[key], abs=1e-6)


def test_metrics_are_one_a_prompt(by_span):
    ranking = Ranking.by_effect(score_ensemble(by_span).at_places)
    circuits = [NodeSet({}), ranking.top(6), ALL_FEATURES]
    found = ensemble_metrics(by_span, circuits)
    for index, runs in enumerate(by_span.runs):
        own = [circuits[0], by_span.places.at_positions(index, circuits[1]), ALL_FEATURES]
        torch.testing.assert_close(found[:, index], masked_metrics(runs, own).mean(dim=1))
    shares = faithfulness(found, found[0], by_span.clean_metrics)
    assert shares[0] == 0
    assert by_span.clean_metrics.tolist() == [runs.clean_metric for runs in by_span.runs]
