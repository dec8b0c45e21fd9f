"""The benchmark of a large shape, on a small one: dictionaries one at a time give what all of them together give."""

import json

import pytest
import torch

from circuits.effects.edge_effects import NodeTable, score_edges
from circuits.effects.node_effects import effects_of_gradients
from experiments.benchmarks.llama_3b_shape import (
    LLAMA_3B,
    Shape,
    edges_among,
    main,
    random_behaviour,
    random_host,
    random_sae,
    recorded,
    scored_sites,
)
from experiments.benchmarks.result_files import read_rows

SMALL = Shape(
    {
        **LLAMA_3B.config,
        "vocab_size": 2048,
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 16,
    },
    d_sae=256,
    l0=16,
    n_tokens=12,
    nodes_per_site=10,
)


@pytest.fixture(scope="module")
def found():
    host = random_host(SMALL)
    return recorded(host, random_behaviour(host, SMALL.n_tokens))


def test_dictionaries_one_at_a_time_give_the_effects_and_edges_of_all_together(found):
    scored = dict(scored_sites(found, SMALL))
    assert list(scored) == list(found.host.sites)
    runs = found.runs({site: random_sae(site, found.clean[site][0], SMALL) for site in scored})
    effects = effects_of_gradients(runs, {site: gradient[:1] for site, gradient in found.gradients.items()})
    assert {site: kept.n_scored for site, kept in scored.items()} == {
        site: len(whole.feature_id) for site, whole in effects.items()
    }
    nodes = {s: NodeTable(kept.nodes.position, kept.features[kept.nodes.feature_id]) for s, kept in scored.items()}
    expected = {(edge.source, edge.target): edge.effect for edge in score_edges(runs, effects, nodes)}
    strongest = max(abs(effect) for effect in expected.values())

    edges = edges_among(found, scored)

    def whole_ids(site, position, feature):
        return site, position, scored[site].features[feature].item()

    effect = {(whole_ids(*edge.source), whole_ids(*edge.target)): edge.effect for edge in edges}
    assert strongest > 0
    assert all(abs(effect.get(e, 0) - expected.get(e, 0)) < 1e-5 * strongest for e in {*effect, *expected})


def test_the_host_is_narrow_tied_and_random(found):
    model = found.host._model
    assert found.host.dtype == torch.bfloat16
    assert model.lm_head.weight is model.model.embed_tokens.weight
    assert len(model.model.embed_tokens.weight.unique(dim=0)) == SMALL.config["vocab_size"]
    assert all(gradient.isfinite().all() and gradient.any() for gradient in found.gradients.values())


def test_a_run_adds_a_row_that_says_that_the_weights_are_random(tmp_path, capsys):
    main(SMALL, tmp_path / "shape.csv")

    [row] = read_rows(tmp_path / "shape.csv")
    assert row["weights"] == "random"
    assert row["sites"] == "7"
    assert int(row["edges"]) > 0
    assert float(row["peak_gigabytes"]) > 0
    assert json.loads(capsys.readouterr().out)["processor"] == row["processor"]
